"""Who may open a path, in words for the user who may not."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any


def refusal(path: str, *, writes: bool = False) -> str:
    """Return why this user may not use a folder; empty if the user may, or if there is none."""
    try:
        Path(path).stat()
    except PermissionError:
        return denied(path)
    except OSError:
        return ""
    return "" if os.access(path, os.R_OK | os.X_OK | (os.W_OK if writes else 0)) else denied(path)


def denied(path: str) -> str:
    """Return who may open a path that this user may not, in words."""
    for place in (Path(path), *Path(path).parents):
        try:
            found = place.stat()
        except OSError:
            continue
        owner = f"user {_name_of(found.st_uid, pwd.getpwuid)}, group {_name_of(found.st_gid, grp.getgrgid)}"
        return (
            f"permission denied: {path} ({place} belongs to {owner}, mode {stat.S_IMODE(found.st_mode):04o});"
            " run this as that user or as a member of the group"
        )
    return f"permission denied: {path}"


def _name_of(number: int, look_up: Callable[[int], tuple[Any, ...]]) -> str:
    """Return the name of a user or a group, or its number."""
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)
