"""What a hostile or unlucky host does to a daemon, one scene for each way: ``python -m tests.chaos.hostile``.

Invariant: a scene fails on a daemon that has the fault it is about, and on no other. A scene is a module
``scene_NN_name`` with a docstring, whose first line is its title, and one function::

    def run(stage: Stage) -> str: ...

which returns what was measured, in one line, or raises AssertionError. Each runs in a process of its own,
which is ended after ``LIMIT_SECONDS``: a daemon that hangs fails its scene and no other.

Another version's daemon is tried by its folders on PYTHONPATH.
"""
