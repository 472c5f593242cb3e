"""Unit tests: no processes, no sockets between processes, no sleeps.

``<package>/test_<module>.py`` tests ``llmledgerd.<package>.<module>``, and ``client/`` the client library. A file
that bears no module's name tests its package as a whole. ``across/`` holds properties of several packages;
``bench/``, ``chaos/`` and ``deploy/`` test what lies in the folders of those names.
"""
