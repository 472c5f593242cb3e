"""Reload of the settings on SIGHUP. Pure.

Invariant: a setting that requires a restart keeps its value and is reported; all others change
together, or none if one of them is invalid.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from llmledgerd.config.options import LOGIN, YES
from llmledgerd.config.settings import RELOAD, Config
from llmledgerd.config.store_url import is_same_store


class Room(Protocol):
    """A part of the daemon that goes by settings."""

    def reconfigure(self, config: Config) -> None: ...


class Changes(msgspec.Struct, frozen=True):
    """Result of a reload."""

    config: Config
    """The settings that are in force from now on."""
    made: list[str]
    for_restart: list[str]


def changes(now: Config, read: Config) -> Changes:
    """Compare the settings in force with those that were read. Raises ConfigError for a wrong URL."""
    differing = [name for name in Config.__struct_fields__ if getattr(now, name) != getattr(read, name)]
    made = [name for name in differing if _can_change(name, now, read)]
    return Changes(
        config=msgspec.structs.replace(now, **{name: getattr(read, name) for name in made}),
        made=made,
        for_restart=[name for name in differing if name not in made],
    )


def _can_change(name: str, now: Config, read: Config) -> bool:
    if RELOAD[name] == LOGIN:
        return is_same_store(getattr(now, name), getattr(read, name))
    return RELOAD[name] == YES
