"""What requests to the admin server change: erased data, and costs.

Invariant: costs are computed by the prices in force, in the first store of the settings that can do it, by
the process that may have that store open. Blocking; for threads and commands.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import NamedTuple

from llmledgerd.admin.erasing import Everywhere
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError, LlmledgerdError
from llmledgerd.query.repricing import Reprice, Repriced
from llmledgerd.records.pricing import Pricer
from llmledgerd.stores import registry


class Repricer:
    """Recomputes costs in the store of the settings."""

    def __init__(self, config: Config, pricer: Pricer) -> None:
        self._config = config
        self._pricer = pricer
        self._is_stopping = False

    def reconfigure(self, config: Config) -> None:
        """Use reloaded settings from now on."""
        self._config = config

    def stop(self) -> None:
        """End what is under way after its current step: a run that ended early is repeated."""
        self._is_stopping = True

    def reprice(
        self, wanted: Reprice, user: str, on_page: Callable[[Repriced], None] = lambda done: None
    ) -> Repriced:
        """Compute costs again; ``user`` is who asks. Raises ConfigError, StoreBusy, LlmledgerdError."""
        if wanted.from_us > wanted.to_us:
            raise ValueError("from_us is after to_us")
        kinds = [registry.KINDS[name] for name in self._config.stores]
        kind = next((kind for kind in kinds if kind.can_reprice), None)
        if kind is None:
            raise ConfigError(f"{kinds[0].title}: recomputing costs is not supported")
        by = f"{user}@{socket.gethostname()}"

        def after_page(done: Repriced) -> None:
            on_page(done)
            if self._is_stopping:
                raise LlmledgerdError("stopped; run it again")

        return kind.reprice(kind.options(self._config), self._pricer, wanted, by, after_page)


class Changes(NamedTuple):
    """All that is changed by request."""

    everywhere: Everywhere
    repricer: Repricer

    @classmethod
    def of(cls, config: Config, pricer: Pricer | None = None) -> Changes:
        """Return what changes the stores of the settings."""
        return cls(Everywhere(config), Repricer(config, pricer or Pricer()))
