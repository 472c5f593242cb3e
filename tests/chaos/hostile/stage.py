"""What a scene stands on: a folder that is removed, daemons that are ended, an engine when one is asked for."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine


class Stage:
    """One scene's folder, and all that it started."""

    def __init__(self) -> None:
        self._ends = contextlib.ExitStack()
        self.folder = Path(self._ends.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def engine(self) -> Engine:
        """Return a running engine behind HTTP, with the tables made."""
        engine = Engine(self.folder / "engine")
        engine.start()
        self._ends.callback(engine.kill)
        with contextlib.closing(Store(engine.url)) as store:
            migrations.apply(store, migrations.Layout())
        return engine

    def daemon(
        self,
        *,
        name: str = "d",
        kind: type[RunningDaemon] = RunningDaemon,
        url: str = "",
        settings: Mapping[str, object] | None = None,
        **more: Any,
    ) -> RunningDaemon:
        """Return a daemon that is not started yet, on the embedded engine unless ``url`` names another."""
        daemon = kind(self.folder / name, url=url, settings=settings, **more)
        self._ends.push(daemon)
        return daemon
