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
        "payload_store": path_of(config.payload_store, "file"),
        "payload_store_file": config.payload_store_file,
    }
    for store, options in config.store_options.items():
        named |= {f"{store}.{name}": path for name, path in options.private_paths().items()}
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


def path_of(url: str, scheme: str) -> str:
    """Return the path of a URL of this scheme; empty for any other."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == scheme else ""
