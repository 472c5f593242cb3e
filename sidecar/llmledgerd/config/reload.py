"""Reload of the settings on SIGHUP. Pure.

Invariant: a setting that requires a restart keeps its value and is reported; all others change
together, or none if one of them is invalid.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from llmledgerd.config.options import LOGIN, YES
from llmledgerd.config.settings import Config
from llmledgerd.config.store_options import Setting


class Component(Protocol):
    """A component of the daemon that reads settings."""

    def reconfigure(self, config: Config) -> None: ...


class Changes(msgspec.Struct, frozen=True):
    """Result of a reload."""

    config: Config
    """The settings that are in force from now on."""
    made: list[str]
    for_restart: list[str]


def changes(now: Config, read: Config) -> Changes:
    """Compare the settings in force with those that were read. Raises ConfigError for a wrong URL."""
    before = {setting.name: value for setting, value in now.of_settings()}
    differing = [(setting, value) for setting, value in read.of_settings() if before[setting.name] != value]
    made = {setting.name: value for setting, value in differing if _can_change(setting, now, value)}
    return Changes(
        config=now.with_values(made),
        made=list(made),
        for_restart=[setting.name for setting, _ in differing if setting.name not in made],
    )


def _can_change(setting: Setting, now: Config, value: object) -> bool:
    if setting.reload == LOGIN:
        return now.store_options[setting.store].is_same_store(str(value))
    return setting.reload == YES
