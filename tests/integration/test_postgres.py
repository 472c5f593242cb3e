"""PostgreSQL when it is away, silent or strange, and what can be read from it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from llmledgerd.errors import ConfigError, StoreBusy
from llmledgerd.reader import ALL_ORGANIZATIONS, LLMTraceReader
from llmledgerd.records.schema import COLUMNS, TRACES
from llmledgerd.stores.postgres.connections import Connections
from llmledgerd.stores.postgres.migrations import apply
from llmledgerd.stores.postgres.reader import NEEDS_CLICKHOUSE
from llmledgerd.stores.postgres.sink import Postgres
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.postgres import PostgresServer, fresh_postgres_database, query, running_postgres
from tests.helpers.waiting import until
from tests.integration.test_copy import row

AT_US = 1_750_000_000_000_000


@pytest.fixture
def store(postgres_url: str) -> Iterator[Postgres]:
    with contextlib.closing(Postgres(postgres_url)) as opened:
        apply(opened)
        yield opened


def offer(store: Postgres, batch: str, *places: int) -> set[int]:
    block = store.encode(TRACES, COLUMNS, [row(batch, place, AT_US) for place in places])
    return store.insert_blocks(TRACES, COLUMNS, [block], "t")


def test_a_server_that_falls_silent_is_left_after_the_time_and_taken_up_when_it_answers() -> None:
    batch = str(uuid.uuid4())
    with (
        running_postgres() as server,
        fresh_postgres_database(server.address) as url,
        contextlib.closing(Postgres(url, timeout_seconds=1)) as store,
    ):
        apply(store)
        offer(store, batch, 1)
        server.freeze()
        with pytest.raises(StoreBusy) as caught:
            offer(store, batch, 2)
        assert caught.value.kind == "timeout"
        server.thaw()
        until(lambda: offer_patiently(store, batch, 2))
        server.kill()
        with pytest.raises(StoreBusy):  # the connection from before
            offer(store, batch, 3)
        with pytest.raises(StoreBusy) as caught:
            offer(store, batch, 3)
        assert caught.value.kind == "unreachable"
        server.start()
        assert offer(store, batch, 3) == set()
        assert store.landed_rows(TRACES, batch, AT_US, AT_US) == {1, 2, 3}


def offer_patiently(store: Postgres, batch: str, place: int) -> bool:
    """Offer a row; say whether it was taken. A lock of the attempt before may take its time."""
    with contextlib.suppress(StoreBusy):
        offer(store, batch, place)
        return True
    return False


def test_the_lines_that_others_keep_out_are_the_same_at_each_try(store: Postgres) -> None:
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    assert offer(store, one, 1, 2) == set()
    rows = [row(other, 1, AT_US), row(other, 2, AT_US), row(other, 3, AT_US)]
    names = COLUMNS.index("id")
    rows[0] = (f"{one}-1", *rows[0][names + 1 :])
    rows[1] = (f"{other}-3", *rows[1][names + 1 :])
    block = store.encode(TRACES, COLUMNS, rows)
    assert [store.insert_blocks(TRACES, COLUMNS, [block], "t") for _ in range(2)] == [{1, 3}] * 2


def test_a_server_that_would_answer_before_its_log_is_safe_is_asked_not_to(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    query(postgres_url, f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET synchronous_commit = off")
    connections = Connections(postgres_url)
    with connections.transaction() as link:
        assert link.query(sql.SQL("SHOW synchronous_commit")) == [{"synchronous_commit": "on"}]
    connections.close()


def test_a_password_comes_from_a_file_and_is_never_said(postgres_url: str, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    with_password = postgres_url.replace("postgres@", "nobody:hunter3@")
    with contextlib.closing(Postgres(with_password, password_file=str(secret))) as store:
        with pytest.raises(StoreBusy) as caught:
            store.version()
        assert "hunter" not in f"{caught.value}{store.address}"
    with contextlib.closing(Postgres(postgres_url, password_file=str(tmp_path / "missing"))) as store:
        with pytest.raises(StoreBusy, match=r"postgres\.password_file") as caught:
            store.version()
        assert caught.value.kind == "authentication"
    for wrong in ("mysql://host/db", "postgresql://user:hunter2@host:x:y/db?nonsense=1"):
        with pytest.raises(ConfigError) as refused:
            Postgres(wrong)
        assert "hunter" not in str(refused.value)


@pytest.mark.parametrize("content", ["full", "metadata"])
async def test_a_daemon_that_names_postgres_first_answers_single_calls_from_there(
    postgres_url: str, tmp_path: Path, content: str
) -> None:
    with contextlib.closing(Postgres(postgres_url)) as store:
        apply(store)
    settings = {"stores": "postgres", "postgres_url": postgres_url, "postgres_content": content}
    with RunningDaemon(tmp_path, settings=settings) as daemon:
        retries = [line(f"a-{n}", n, step_id="step", timestamp=f"2026-06-01T00:00:0{n}Z") for n in (2, 1)]
        daemon.send_one_way(b"".join(retries) + line("b-1", 5, step_id="step", org_id="other"))
        path = daemon.folder / "admin.sock"
        until(lambda: admin.status(path)["stored"] == 3)
        for url in (f"unix:{path}", postgres_url):
            async with LLMTraceReader(url) as reader:
                calls = await reader.get_by_step_id("org-1", "step", payloads=True)
                assert [call.id for call in calls] == ["a-1", "a-2"]
                assert all(call.payloads is not None for call in calls)
                assert all(
                    bool(call.payloads and call.payloads.request_json) == (content == "full")
                    for call in calls
                )
                assert len(await reader.get_by_step_id(ALL_ORGANIZATIONS, "step")) == 3
                found = await reader.get_by_id("org-1", "provider_trace-a-2")
                assert found is not None
                assert (found.prompt_tokens, found.payloads) == (2, None)
                assert await reader.get_by_id("org-1", "b-1") is None
                with pytest.raises(ValueError, match="needs ClickHouse"):
                    await reader.get_usage_stats("org-1")
                with pytest.raises(ValueError, match="needs ClickHouse"):
                    await reader.sql("SELECT 1")
        code, text = admin.get(path, "/v1/usage?organization_id=org-1")
        assert code == 400
        assert NEEDS_CLICKHOUSE in text
