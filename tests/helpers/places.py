"""One filled store, and every place where it can be read: itself, a Unix socket, TCP with tokens."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from llmledgerd.admin import auth
from llmledgerd.reader import LLMTraceReader
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.daemon import RunningDaemon
from tests.helpers.migrated_databases import LAYOUT
from tests.helpers.store_rows import add_traces

PLACES = ("store", "unix", "tcp")


class Places(msgspec.Struct):
    """Where to ask, and with what."""

    store: str
    unix: str
    tcp: str
    operator: str
    """A token for everything."""
    only_a: str
    """A token for the organization `a`."""

    def reader(self, place: str) -> LLMTraceReader:
        if place == "tcp":
            return LLMTraceReader(self.tcp, token=self.operator)
        return LLMTraceReader(getattr(self, place))


@contextlib.contextmanager
def places(url: str, folder: Path, rows: Sequence[Mapping[str, object]]) -> Iterator[Places]:
    """Fill the empty store, and run two daemons on it that nobody sends to."""
    store = Store(url)
    migrations.apply(store, LAYOUT)
    add_traces(store, rows)
    store.close()
    operator, for_all = auth.new([])
    only_a, for_a = auth.new(["a"])
    file = folder / "tokens.toml"
    file.write_text(f"{for_all}\n{for_a}\n")
    address = f"127.0.0.1:{free_port()}"
    settings = {"admin": address, "admin_tokens_file": file}
    local = RunningDaemon(folder / "u", url=url)
    remote = RunningDaemon(folder / "t", url=url, settings=settings)
    with local, remote:
        yield Places(url, f"unix:{local.folder / 'admin.sock'}", address, operator, only_a)


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def http(
    address: str, path: str, *, token: str = "", method: str = "GET", **more: Any
) -> tuple[int, str, Any]:
    """Return status, content type and JSON of one request to a daemon's TCP address."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(f"http://{address}") as session,
        session.request(method, path, headers=headers, **more) as answer,
    ):
        body = await answer.read()
        return answer.status, answer.content_type, _json(body)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode()


def environment(**own: str) -> dict[str, str]:
    """Return the environment for a command of ours: this one's, without settings."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LLMLEDGER_", "CLICKHOUSE_"))
    }
    return inherited | own


NOW = time.time_ns() // 1000
