"""What statements may say on a cluster, read off the package's own source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import llmledgerd.stores.clickhouse as package
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.migrations import Migration, layout_of
from llmledgerd.stores.clickhouse.topology import CHANGE_SETTINGS, DDL_SETTINGS, Placement

SOURCES = {path.name: path.read_text() for path in Path(package.__file__).parent.glob("*.py")}
QUESTION = ("stored_rows.py", "question_settings.py", "cluster_hosts.py", "quorums.py")
CLUSTER = layout_of(90, "c")


def strings(source: str) -> list[str]:
    """Return the strings of a module that are not docstrings."""
    tree = ast.parse(source)
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


@pytest.mark.parametrize("name", QUESTION)
def test_no_statement_of_the_question_is_for_the_cluster_s_queue(name: str) -> None:
    assert not [text for text in strings(SOURCES[name]) if "ON CLUSTER" in text]
    assert "place.changed" not in SOURCES[name]


def test_the_question_s_statements_have_no_effect() -> None:
    allowed = {"SYSTEM FLUSH ASYNC INSERT QUEUE"}
    for name in QUESTION:
        verbs = [
            text for text in strings(SOURCES[name]) if re.match(r"(ALTER|DELETE|INSERT|CREATE|SYSTEM) ", text)
        ]
        assert set(verbs) <= allowed, name
    place = Placement("t", is_replicated=True)
    assert place.caught_up == "SYSTEM SYNC REPLICA t LIGHTWEIGHT"


def test_no_statement_on_the_cluster_waits_for_its_replicas() -> None:
    for settings in (DDL_SETTINGS, CHANGE_SETTINGS):
        assert settings["mutations_sync"] == settings["lightweight_deletes_sync"] == 0
    assert DDL_SETTINGS["distributed_ddl_output_mode"] == "throw_only_active"
    waiting = {name for name, text in SOURCES.items() if re.search(r"mutations_sync\W+2", text)}
    assert waiting <= {"reprice.py"}, "which refuses replicated tables"


def test_every_statement_of_a_migration_carries_the_settings_of_its_form() -> None:
    ran: list[tuple[str, object]] = []

    class Store:
        is_embedded = False

        def create_database(self, on_cluster: str) -> None:
            pass

        def columns(self, table: str) -> dict[str, str]:
            return {}

        def query(self, sql: str, *_: object, **__: object) -> list[dict[str, object]]:
            return [{"engine_full": "x TTL toDateTime(a) + toIntervalDay(7)"}] if "engine_full" in sql else []

        def run(self, statement: str, *_: object, settings: object = None, **__: object) -> None:
            ran.append((statement, settings))

        def insert(self, *_: object, **__: object) -> None:
            pass

    migrations.apply(Store(), CLUSTER)  # type: ignore[arg-type]  # as much of a store as is used

    on_cluster = [settings for statement, settings in ran if "ON CLUSTER" in statement]
    assert len(on_cluster) > len(Migration.load())
    assert all(settings == DDL_SETTINGS for settings in on_cluster)
