"""The admin address on TCP: what needs no token, and how little it reveals then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.admin import auth
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.places import free_port, http

AWAY = "http://127.0.0.1:9/none"


class Exposed:
    """A daemon on TCP whose store is away, and a token of each kind."""

    def __init__(self, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.operator, for_all = auth.new([])
        self.organization, for_one = auth.new(["acme"])
        self.metrics, for_metrics = auth.new([], metrics=True)
        tokens = folder / "tokens.toml"
        tokens.write_text(f"{for_all}\n{for_one}\n{for_metrics}\n")
        settings = {"admin": self.address, "admin_tokens_file": tokens, "metrics_need_token": "true"}
        self.daemon = RunningDaemon(folder / "d", url=AWAY, settings=settings)

    async def get(self, path: str, token: str = "") -> tuple[int, str]:
        status, _, body = await http(self.address, path, token=token)
        return status, str(body)


@pytest.fixture
def exposed(tmp_path: Path) -> Iterator[Exposed]:
    found = Exposed(tmp_path)
    with found.daemon:
        yield found


async def test_metrics_need_an_operator_s_token_or_one_for_metrics(exposed: Exposed) -> None:
    for token in ("", "wrong", exposed.organization):
        status, said = await exposed.get("/metrics", token)
        assert (status, "llmledgerd_" in said) == (401, False)
    for token in (exposed.operator, exposed.metrics):
        status, said = await exposed.get("/metrics", token)
        assert (status, "llmledgerd_accepting" in said) == (200, True)
    assert (await exposed.get("/v1/calls?organization_id=acme", exposed.metrics))[0] in (401, 403)


async def test_readiness_gives_reasons_and_stores_to_operators_alone(exposed: Exposed) -> None:
    exposed.daemon.send_one_way(line("waits", 1))

    async def reasons() -> str:
        return (await exposed.get("/readyz", exposed.operator))[1]

    async with asyncio.timeout(30):
        while "clickhouse" not in await reasons():
            await asyncio.sleep(0.05)
    for token in ("", "wrong", exposed.organization, exposed.metrics):
        assert await exposed.get("/readyz", token) == (200, "ready\n")
