"""Entry point of the command ``llmledgerd``, and of ``python -m llmledgerd``.

Invariant: a daemon that serves has not imported the library of the command line.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command to its exit code."""
    if sys.argv[1:2] == ["serve"]:
        from llmledgerd.cli import serving

        serving.main(sys.argv[2:])
    from llmledgerd.cli import daemon

    daemon.main()


if __name__ == "__main__":
    main()
