"""What PostgreSQL refuses: a row that is at fault is given up, and a table that is at fault is waited for."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from llmledgerd.errors import BatchRejected, LlmledgerdError, StoreBusy
from llmledgerd.records.schema import COLUMNS, TRACES
from llmledgerd.stores.postgres.migrations import apply, check
from llmledgerd.stores.postgres.refusals import MANY
from llmledgerd.stores.postgres.sink import Postgres
from tests.helpers.postgres import PostgresServer, query
from tests.integration.test_copy import row

AT_US = 1_750_000_000_000_000
TRIGGER = """
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
CREATE TRIGGER guard BEFORE INSERT ON provider_traces FOR EACH ROW EXECUTE FUNCTION guard()
"""
SECRET = "very secret"


@pytest.fixture
def store(postgres_url: str) -> Iterator[Postgres]:
    with contextlib.closing(Postgres(postgres_url)) as opened:
        apply(opened)
        yield opened


def offer(store: Postgres, batch: str, *places: int, **values: object) -> set[int]:
    rows = [
        tuple(values.get(name, value) for name, value in zip(COLUMNS, row(batch, place, AT_US), strict=True))
        for place in places
    ]
    return store.insert_blocks(TRACES, COLUMNS, [store.encode(TRACES, COLUMNS, rows)], "t")


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "with rows"])
@pytest.mark.parametrize(
    ("change", "back"),
    [
        ("ALTER TABLE provider_traces ADD COLUMN tenant text NOT NULL DEFAULT 'x'; ALTER TABLE provider_traces"
         " ALTER COLUMN tenant DROP DEFAULT", "ALTER TABLE provider_traces DROP COLUMN tenant"),
        (TRIGGER.format(body=f"RAISE EXCEPTION '{SECRET} %', NEW;"), "DROP TRIGGER guard ON provider_traces"),
        (TRIGGER.format(body="RETURN NULL;"), "DROP TRIGGER guard ON provider_traces"),
        (TRIGGER.format(body="NEW.attempt := 1 / 0; RETURN NEW;"), "DROP TRIGGER guard ON provider_traces"),
        ("ALTER TABLE provider_traces ADD CONSTRAINT never CHECK (batch_row < 0) NOT VALID",
         "ALTER TABLE provider_traces DROP CONSTRAINT never"),
        ("ALTER TABLE provider_traces RENAME COLUMN user_id TO person",
         "ALTER TABLE provider_traces RENAME COLUMN person TO user_id"),
    ],
    ids=["NOT NULL", "raises", "swallows", "fails", "constraint", "dropped"],
)  # fmt: skip
def test_a_table_that_refuses_every_row_is_waited_for_and_then_takes_them(
    store: Postgres, postgres_url: str, change: str, back: str, filled: bool
) -> None:
    batch = str(uuid.uuid4())
    if filled:
        offer(store, str(uuid.uuid4()), 1)
    query(postgres_url, change)
    for places in ((1, 2, 3), (1,)):
        for _ in range(2):
            with pytest.raises(StoreBusy) as caught:
                offer(store, batch, *places)
            assert caught.value.kind in {"table", "missing_column"}
            assert SECRET not in str(caught.value)
    query(postgres_url, back)
    assert offer(store, batch, 1, 2, 3) == set()


def test_one_row_that_a_rule_of_others_refuses_is_at_fault_and_many_are_not(
    store: Postgres, postgres_url: str
) -> None:
    query(postgres_url, "ALTER TABLE provider_traces ADD CONSTRAINT tame CHECK (model <> 'wild')")
    for number in range(MANY):
        with pytest.raises(BatchRejected, match="tame"):
            offer(store, str(uuid.uuid4()), number, model="wild")
    assert offer(store, str(uuid.uuid4()), 1) == set()
    with pytest.raises(StoreBusy, match="tame") as caught:
        offer(store, str(uuid.uuid4()), 1, model="wild")
    assert caught.value.kind == "table"


def test_rows_that_no_table_can_hold_are_at_fault_however_many_there_are(store: Postgres) -> None:
    for _ in range(MANY + 2):
        name = "".join(str(uuid.uuid4()) for _ in range(200))
        with pytest.raises(BatchRejected):
            offer(store, str(uuid.uuid4()), 1, id=name)


def test_rows_that_a_trigger_drops_are_not_counted_as_repeated(store: Postgres, postgres_url: str) -> None:
    query(postgres_url, TRIGGER.format(body="IF NEW.model = 'wild' THEN RETURN NULL; END IF; RETURN NEW;"))
    batch = str(uuid.uuid4())
    with pytest.raises(BatchRejected, match="left out"):
        offer(store, batch, 1, model="wild")
    assert offer(store, batch, 2, 3) == set()
    assert offer(store, batch, 2, 3) == set()
    assert store.counts["repeated"] == 0


def test_a_refusal_is_told_without_what_the_row_has(store: Postgres, postgres_url: str) -> None:
    query(postgres_url, f"ALTER TABLE provider_traces ADD CONSTRAINT open_only CHECK (user_id <> '{SECRET}')")
    query(postgres_url, "ALTER TABLE provider_traces ALTER COLUMN service_tier TYPE varchar(4)")
    for values in ({"user_id": SECRET}, {"service_tier": SECRET}, {"attempt": SECRET}, {"attempt": 1 << 40}):
        with pytest.raises(BatchRejected) as caught:
            offer(store, str(uuid.uuid4()), 1, **values)
        assert SECRET not in str(caught.value)
        assert str(1 << 40) not in str(caught.value)


def test_a_dropped_column_is_named_by_check_and_by_migrate(store: Postgres, postgres_url: str) -> None:
    query(postgres_url, "ALTER TABLE provider_traces DROP COLUMN user_id")
    (fault,) = check(store)
    assert "lacks user_id" in fault
    assert "run `llmledgerd migrate`" not in fault, "which does not add it"
    with pytest.raises(LlmledgerdError, match="lacks user_id"):
        apply(store)


def test_a_database_of_another_encoding_is_named_before_anything_is_stored(
    postgres_server: PostgresServer,
) -> None:
    with psycopg.connect(f"{postgres_server.address}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with contextlib.closing(Postgres(f"{postgres_server.address}/latin")) as store:
        with pytest.raises(LlmledgerdError, match="LATIN1"):
            apply(store)
        assert "LATIN1" in check(store)[0]
        with pytest.raises(StoreBusy, match="LATIN1"):
            offer(store, str(uuid.uuid4()), 1, model="\N{SNOWMAN}")


def test_a_record_leaves_the_abandoned_row_of_another_organization(
    store: Postgres, postgres_url: str
) -> None:
    offer(store, str(uuid.uuid4()), 1, id="call", organization_id="one", outcome="abandoned")
    offer(store, str(uuid.uuid4()), 1, id="call", organization_id="other", outcome="ok")
    found = query(postgres_url, "SELECT organization_id, outcome FROM provider_traces WHERE id = 'call'")
    assert sorted(map(tuple, map(dict.values, found))) == [("one", "abandoned"), ("other", "ok")]
    offer(store, str(uuid.uuid4()), 1, id="call", organization_id="one", outcome="ok")
    assert query(postgres_url, "SELECT count(*) AS n FROM provider_traces WHERE outcome = 'ok'") == [{"n": 2}]
