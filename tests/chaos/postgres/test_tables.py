"""A table of PostgreSQL that others change: no record is a dead letter for it, and the status names the reason."""

from __future__ import annotations

import pytest

from tests.chaos.postgres.books import balance
from tests.chaos.postgres.stage import says_why, send
from tests.helpers.object_storage import Folder
from tests.helpers.postgres import query
from tests.helpers.two_stores import TwoStores
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos

NEEDED = """
ALTER TABLE provider_traces ADD COLUMN tenant text NOT NULL DEFAULT '';
ALTER TABLE provider_traces ALTER COLUMN tenant DROP DEFAULT
"""
TRIGGER = """
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
CREATE TRIGGER guard BEFORE INSERT ON provider_traces FOR EACH ROW EXECUTE FUNCTION guard()
"""
NO_TRIGGER = "DROP TRIGGER guard ON provider_traces"


def retries(two: TwoStores) -> int:
    return sum(two.of("postgres")["retries"].values())


@pytest.mark.parametrize(
    ("change", "back", "why"),
    [
        (NEEDED, "ALTER TABLE provider_traces DROP COLUMN tenant", "requires values in tenant"),
        (TRIGGER.format(body="RAISE EXCEPTION 'not today';"), NO_TRIGGER, "table"),
        (TRIGGER.format(body="RETURN NULL;"), NO_TRIGGER, "table"),
        ("ALTER TABLE provider_traces RENAME COLUMN user_id TO person",
         "ALTER TABLE provider_traces RENAME COLUMN person TO user_id", "user_id"),
    ],
    ids=["NOT NULL", "raises", "swallows", "dropped"],
)  # fmt: skip
def test_a_table_that_refuses_every_row_keeps_the_records_waiting(
    two: TwoStores, storage: Folder, change: str, back: str, why: str
) -> None:
    send(two, "a", 5)
    two.settled("postgres", 5)
    query(two.postgres_url, change)
    send(two, "b", 50)
    until(lambda: says_why(two, why))
    tried = retries(two)
    until(lambda: retries(two) >= tried + 10)
    two.settled("clickhouse", 55)
    assert two.of("postgres")["dead_letters"] == 0
    query(two.postgres_url, back)
    two.settled("postgres", 55)
    balance(two, storage)


def test_rows_that_a_trigger_swallows_are_no_repeats(two: TwoStores, storage: Folder) -> None:
    query(
        two.postgres_url, TRIGGER.format(body="IF NEW.model = 'wild' THEN RETURN NULL; END IF; RETURN NEW;")
    )
    send(two, "wild", 1, model="wild")
    send(two, "tame", 20)
    assert two.settled("postgres", 21)["dead_letters"] == 1
    two.settled("clickhouse", 21)
    balance(two, storage, left_objects=0)
