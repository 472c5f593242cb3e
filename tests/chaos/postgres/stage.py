"""What every scene does: send records, start the daemon with other settings, and read what it says."""

from __future__ import annotations

from typing import Any

from tests.helpers import admin
from tests.helpers.exchanges import line
from tests.helpers.two_stores import TwoStores


def send(two: TwoStores, name: str, count: int, **fields: Any) -> None:
    """Send so many records, which differ in their ids."""
    two.daemon.send_one_way(b"".join(line(f"{name}-{number}", number, **fields) for number in range(count)))


def restart(two: TwoStores, **settings: object) -> None:
    """Kill the daemon, and start another with other settings."""
    two.daemon.kill()
    two.daemon = two.another(**settings)
    two.daemon.start()


def says_why(two: TwoStores, why: str) -> bool:
    """Return whether status and readiness say that PostgreSQL is unavailable, and the status this reason."""
    ready = admin.get(two.daemon.folder / "admin.sock", "/readyz")[1]
    return why in two.of("postgres")["trouble"] and "postgres, which is unavailable" in ready
