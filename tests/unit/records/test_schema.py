"""The columns are listed once; all that names them by hand agrees with the list."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from llmledgerd.query.results import Call, Payloads
from llmledgerd.records import schema
from llmledgerd.records.schema import BYTES_COLUMNS, COLUMNS, COMPUTED, TABLE
from llmledgerd.stores.postgres import tables

ROOT = Path(__file__).resolve().parents[3]
NOT_COLUMNS = {"payloads", "payloads_missing"}


def types_in(file: str, table: str) -> dict[str, str]:
    """Return the types of a table's columns in a DDL file and later ones, without codecs and NOT NULL."""
    first = ROOT / "ddl" / file
    text = first.read_text()
    body = text.split(f"CREATE TABLE IF NOT EXISTS {table}", 1)[1].split("\n(\n", 1)[1].split("\n)", 1)[0]
    found = re.findall(r"^    ([a-z_]+)\s+(.+?)(?: CODEC\(.*)?(?: NOT NULL.*)?,?$", body, re.M)
    later = "".join(path.read_text() for path in sorted(first.parent.glob("*.sql")) if path > first)
    added = re.findall(
        rf"ALTER TABLE {re.escape(table)} (?:{{on_cluster}} )?ADD COLUMN ([a-z_]+) ([^;]+?)(?: CODEC\(.*)?(?: NOT NULL.*)?;",
        later,
    )
    return dict(found + added)


def test_every_name_is_listed_once() -> None:
    assert len(set(COLUMNS)) == len(TABLE)


def test_clickhouse_has_these_columns_with_these_types() -> None:
    assert types_in("0001_llm_traces.sql", "llm_traces{local}") == {
        **{one.name: one.clickhouse for one in TABLE},
        **{one.name: f"{one.clickhouse} MATERIALIZED {one.expression}" for one in COMPUTED},
    }


def test_postgres_has_these_columns_with_these_types() -> None:
    whole = types_in("postgres/0001_provider_traces.sql", "provider_traces")
    assert whole == {one.name: one.postgres for one in TABLE}


def test_postgres_table_without_payloads_has_all_other_columns() -> None:
    text = (ROOT / "ddl" / "postgres" / "0001_provider_traces.sql").read_text()
    assert tuple(re.findall(r"DROP COLUMN IF EXISTS ([a-z_]+)", text)) == tables.PAYLOADS
    assert "provider_trace_metadata (LIKE provider_traces" in text


def test_readers_return_the_columns_that_are_marked_as_listed() -> None:
    assert set(Call.__struct_fields__) - NOT_COLUMNS == {column.name for column in TABLE if column.listed}
    assert set(Payloads.__struct_fields__) <= BYTES_COLUMNS


def test_a_listed_columns_type_in_python_is_nullable_where_the_tables_is() -> None:
    kinds = {field.encode_name: field.type for field in msgspec.structs.fields(Call)}
    nullable = {one.name for one in TABLE if one.clickhouse.startswith("Nullable") and one.listed}
    assert {
        name for name, kind in kinds.items() if type(None) in getattr(kind, "__args__", ())
    } - NOT_COLUMNS == nullable


def test_the_documented_table_is_the_one_that_the_code_prints() -> None:
    assert (ROOT / "docs" / "table.md").read_text().endswith(schema.reference()), (
        "put the output of `python -m llmledgerd.records.schema` at the end of docs/table.md"
    )
