"""The documents grant what the daemon needs, and what is lacking is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.requirements import missing_rights
from llmledgerd.stores.clickhouse.rights import needed
from llmledgerd.stores.clickhouse.topology import Placement

CLUSTER = Placement("llm_traces_local", "c", is_replicated=True)


class Server:
    """A server whose user lacks some rights."""

    insert_mode = "sync"

    def __init__(self, *lacking: str, code: int = 0) -> None:
        self.lacking, self.code = lacking, code

    def placement(self, _: str) -> Placement:
        return CLUSTER

    def query(self, _: str) -> list[Mapping[str, Any]]:
        return [{"name": "llm"}]

    def text(self, statement: str) -> str:
        if self.code:
            raise StoreBusy("other", "refused", code=self.code)
        return "0\n" if statement.removeprefix("CHECK GRANT ").replace("`", "") in self.lacking else "1\n"


def test_the_documents_grant_every_right_that_is_needed() -> None:
    page = (Path(__file__).parents[4] / "docs/clusters.md").read_text()
    granted = {
        (right.strip(), on)
        for rights, on in re.findall(r"GRANT ([^;]+?) ON (\S+) TO llmledger_writer", page)
        for right in rights.split(",")
    }
    wanted = {(right, on.replace("`", "")) for right, on in needed("llm", CLUSTER, "async")}
    assert wanted == granted


def test_rights_that_are_lacking_are_named() -> None:
    lacking = ("ALTER UPDATE ON llm.*", "SELECT ON system.disks", "REMOTE ON *.*")
    assert missing_rights(cast("Store", Server(*lacking))) == list(lacking)


def test_a_server_that_cannot_say_which_rights_there_are_is_not_refused() -> None:
    assert missing_rights(cast("Store", Server(code=62))) == []


def test_another_error_is_not_taken_for_a_right() -> None:
    with pytest.raises(StoreBusy):
        missing_rights(cast("Store", Server(code=999)))
