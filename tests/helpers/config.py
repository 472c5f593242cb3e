"""Settings of a daemon by their plain names, with the options of all kinds of store."""

from __future__ import annotations

from llmledgerd.config.settings import Config
from llmledgerd.stores import registry


def config(**plain: object) -> Config:
    """Return the settings as flags would give them: ``clickhouse_url``, ``spool_dir`` and so on."""
    return registry.load(None, {}, plain)[0]
