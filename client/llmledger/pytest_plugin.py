"""pytest plugin that switches recording off in a test suite, whose mocked transports would become records.

Invariant: an application that calls ``instrument()`` and ``record()`` under test runs unchanged, and nothing is
hooked, started or sent. ``LLMLEDGER_DISABLED`` of the environment wins: ``LLMLEDGER_DISABLED=0`` records.

Put ``pytest_plugins = ["llmledger.pytest_plugin"]`` into the top ``conftest.py``, or run ``pytest -p
llmledger.pytest_plugin``. It is loaded by nobody who does not name it, and imports nothing.
"""

from __future__ import annotations

import os

_NAME = "LLMLEDGER_DISABLED"
_ours: list[str] = []
"""Not empty while this plugin has set the variable."""


def pytest_configure() -> None:
    """Switch recording off before any test module is imported."""
    if _NAME not in os.environ:
        os.environ[_NAME] = "1"
        _ours.append(_NAME)


def pytest_unconfigure() -> None:
    """Restore the environment."""
    while _ours:
        os.environ.pop(_ours.pop(), None)
