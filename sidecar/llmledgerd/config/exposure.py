"""Check of file permissions for folders of records and files of secrets."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from llmledgerd.config.settings import Config


def exposed(config: Config) -> list[str]:
    """Return a warning for each folder of records or file of secrets that other users can read."""
    named = {
        "spool_dir": config.spool_dir,
        "clickhouse_url": _path(config.clickhouse_url, "chdb"),
        "payload_store": _path(config.payload_store, "file"),
        "clickhouse_password_file": config.clickhouse_password_file,
        "postgres_password_file": config.postgres_password_file,
        "payload_store_file": config.payload_store_file,
    }
    return [said for name, path in named.items() if path and (said := _exposed(name, Path(path)))]


def _exposed(name: str, path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError:  # there is none yet, or nobody may look
        return ""
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return ""
    wanted = "700" if stat.S_ISDIR(mode) else "600"
    who = "all users" if mode & stat.S_IRWXO else "its group"
    return f"{name}: {path} is accessible to {who} ({stat.S_IMODE(mode):04o}); run chmod {wanted}"


def _path(url: str, scheme: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == scheme else ""
