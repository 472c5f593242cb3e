"""Table of SDKs and the ways they make a call: each cell is a real SDK's call, judged by its rows in the table.

``python -m tests.sdk_table [SDK…]`` makes the calls against stand-ins on the loopback interface, through the hooks and
a real daemon, and prints one line for an SDK. SDKs that are not installed are left out; ``--install`` gets them
by pip into ``--target``, one folder each, since their requirements contradict each other.
"""
