"""An address that leads to several servers with rows of their own is refused."""

from __future__ import annotations

import pytest

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse.server_identity import Servers, server

NONE = "00000000-0000-0000-0000-000000000000"
PLAIN = "MergeTree ORDER BY id"


def answer(
    uuid: str = NONE, host: str = "a", folder: str = "/one", engine: str | None = PLAIN
) -> dict[str, object]:
    return {"server": uuid, "host": host, "folder": folder, "engine": engine}


@pytest.mark.parametrize("engine", [PLAIN, "ReplicatedMergeTree('/p', 'r') ORDER BY id"])
@pytest.mark.parametrize(
    "second", [{"uuid": "2" * 36, "host": "b"}, {"folder": "/two"}, {"uuid": "2" * 36, "host": "a"}]
)
def test_a_second_server_that_answers_for_itself_is_refused(second: dict[str, str], engine: str) -> None:
    servers = Servers()
    servers.met(0, server(answer(engine=engine)))
    servers.met(0, server(answer(engine=engine)))
    with pytest.raises(StoreBusy, match="several servers") as caught:
        servers.met(0, server(answer(engine=engine, **second)))
    assert caught.value.kind == "servers"


@pytest.mark.parametrize(
    "engine",
    ["SharedMergeTree('/p', 'r')", "Distributed('c', '', 't')"],
)
def test_servers_that_answer_for_all_may_stand_behind_one_address(engine: str) -> None:
    servers = Servers()
    for number in "123":
        servers.met(0, server(answer(number * 36, number, engine=engine)))


def test_servers_of_several_addresses_and_servers_without_the_table_may_differ() -> None:
    servers = Servers()
    for number in range(3):
        servers.met(number, server(answer(f"{number + 1}" * 36)))
    servers.met(0, server(answer("9" * 36, engine=None)))
