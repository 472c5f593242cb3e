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


@pytest.mark.parametrize("second", [answer("2" * 36, "b"), answer(folder="/two"), answer("2" * 36, "a")])
def test_a_second_server_with_rows_of_its_own_is_refused(second: dict[str, object]) -> None:
    servers = Servers()
    servers.met(0, server(answer()))
    servers.met(0, server(answer()))
    with pytest.raises(StoreBusy, match="several servers") as caught:
        servers.met(0, server(second))
    assert caught.value.kind == "servers"


@pytest.mark.parametrize(
    "engine",
    ["ReplicatedMergeTree('/p', 'r') ORDER BY id", "SharedMergeTree('/p', 'r')", "Distributed('c', '', 't')"],
)
def test_replicas_behind_one_address_are_one_table(engine: str) -> None:
    servers = Servers()
    for number in "123":
        servers.met(0, server(answer(number * 36, number, engine=engine)))


def test_servers_of_several_addresses_and_servers_without_the_table_may_differ() -> None:
    servers = Servers()
    for number in range(3):
        servers.met(number, server(answer(f"{number + 1}" * 36)))
    servers.met(0, server(answer("9" * 36, engine=None)))
