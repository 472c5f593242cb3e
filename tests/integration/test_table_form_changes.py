"""What leaves a table whose blocks hold many steps of a run: erased, deleted and expired rows, and none beside them."""

from __future__ import annotations

import random
import time
import uuid

from llmledgerd.query.erasure import Erasure
from llmledgerd.query.requests import GetRun, ListRuns
from llmledgerd.query.results import RunPage, RunSteps
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.erasure import Eraser
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from tests.helpers.planted_runs import SECOND_US, step
from tests.helpers.store_rows import add_traces

HOUR_US = 3600 * SECOND_US
NOW_US = time.time_ns() // 1000 // HOUR_US * HOUR_US - HOUR_US
STEPS = 30
EXPIRED_US = 200 * 24 * HOUR_US


def conversation(name: str, *, organization: str = "a", received_us: int = NOW_US) -> list[dict[str, object]]:
    """Return steps that send their whole history, in turns of two users."""
    dice = random.Random(name)
    history = ""
    rows = []
    for number in range(STEPS):
        history += dice.randbytes(2000).hex()
        rows.append(
            step(
                f"{name}-{number}",
                f"{name}-{number - 1}" if number else "",
                at_us=NOW_US + number * SECOND_US,
                conversation=name,
                id=f"{name}-{number}",
                organization_id=organization,
                user_id=f"user-{number % 2}",
                request_json=history.encode(),
                response_json=b"{}",
                ingested_at=received_us + number * SECOND_US,
                batch_id=str(uuid.UUID(int=dice.getrandbits(128))),
            )
        )
    return rows


def stored(store: Store) -> dict[str, object]:
    rows = store.query("SELECT id, request_json FROM llm_traces", raw=("request_json",))
    return {row["id"]: row["request_json"] for row in rows}


def merge(store: Store) -> None:
    store.run("OPTIMIZE TABLE llm_traces FINAL")


def run_of(store: Store, name: str, organization: str = "a") -> tuple[int, list[str]]:
    """Return the steps that the list of runs counts, and those that the run has."""
    answers = StoreAnswers(store)
    page = answers.answer(organization, ListRuns())
    found = answers.answer(organization, GetRun(id=name))
    assert isinstance(page, RunPage)
    assert isinstance(found, RunSteps)
    return next(run.steps for run in page.runs if run.id == name), [one.id for one in found.steps]


def test_erased_steps_leave_those_beside_them_byte_for_byte(server: Store) -> None:
    rows = [*conversation("x"), *conversation("y"), *conversation("x", organization="b")]
    texts = {str(row["id"]): row["request_json"] for row in rows}
    add_traces(server, rows)
    merge(server)

    erased = Eraser(server).erase(Erasure(organization_id="a", user_id="user-1", rows=True))

    assert erased.calls == STEPS
    left = {f"{name}-{number}": texts[f"{name}-{number}"] for name in "xy" for number in range(0, STEPS, 2)}
    assert stored(server) == left | {f"x-{number}": texts[f"x-{number}"] for number in range(STEPS)}
    assert run_of(server, "x") == (STEPS // 2, [f"x-{number}" for number in range(0, STEPS, 2)])
    assert run_of(server, "x", "b")[0] == STEPS
    merge(server)
    assert stored(server) == left | {f"x-{number}": texts[f"x-{number}"] for number in range(STEPS)}


def test_erased_payloads_leave_the_figures_of_their_run(server: Store) -> None:
    add_traces(server, conversation("x"))
    merge(server)
    before = StoreAnswers(server).answer("a", GetRun(id="x"))

    Eraser(server).erase(Erasure(organization_id="a", user_id="user-1"))

    texts = stored(server)
    assert [name for name, text in texts.items() if not text] == [name for name in texts if int(name[2:]) % 2]
    after = StoreAnswers(server).answer("a", GetRun(id="x"))
    assert isinstance(before, RunSteps)
    assert isinstance(after, RunSteps)
    assert after.run == before.run
    assert [one.new_bytes for one in after.steps] == [one.new_bytes for one in before.steps]


def test_a_row_that_is_deleted_late_leaves_its_block_whole(server: Store) -> None:
    rows = conversation("x")
    add_traces(server, rows)
    merge(server)

    server.run("DELETE FROM llm_traces WHERE id = 'x-7'", settings={"mutations_sync": 2})

    texts = {str(row["id"]): row["request_json"] for row in rows if row["id"] != "x-7"}
    assert stored(server) == texts
    assert run_of(server, "x")[0] == STEPS - 1
    merge(server)
    assert stored(server) == texts


def test_expired_steps_of_a_run_go_and_later_ones_stay(server: Store) -> None:
    expired = conversation("x", received_us=NOW_US - EXPIRED_US)[:20]
    kept = conversation("x")[20:]
    add_traces(server, expired)
    add_traces(server, kept)

    merge(server)

    assert stored(server) == {str(row["id"]): row["request_json"] for row in kept}
    assert run_of(server, "x") == (10, [f"x-{number}" for number in range(20, STEPS)])
