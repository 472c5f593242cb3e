"""Wires to PostgreSQL and to object storage that are cut anywhere, or slow."""

from __future__ import annotations

import random

import pytest

from tests.chaos.postgres.books import balance
from tests.chaos.postgres.stage import restart, send
from tests.helpers.cut_wire import running_cut_wire
from tests.helpers.object_storage import S3, Folder
from tests.helpers.pgbouncer import running_pgbouncer
from tests.helpers.postgres_proxy import running_postgres_proxy
from tests.helpers.two_stores import TwoStores
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("is_pooled", [False, True], ids=["server", "pooler"])
def test_wires_that_are_cut_anywhere_lose_and_repeat_nothing(
    two: TwoStores, s3: S3, *, is_pooled: bool
) -> None:
    port = str(two.server.port)
    with (
        running_cut_wire(s3.port, 1) as to_objects,
        running_pgbouncer(two.server, two.postgres_url) as pooled,
    ):
        behind = int(pooled.rpartition("/")[0].rpartition(":")[2]) if is_pooled else two.server.port
        with running_cut_wire(behind, 2) as to_postgres:
            url = two.postgres_url.replace(f":{port}/", f":{to_postgres.port}/")
            restart(
                two,
                postgres_url=url,
                payload_store_timeout_seconds=2,
                batch_max_age_seconds=0.2,
                **s3.settings_by(to_objects.port),
            )
            for burst in range(6):
                send(two, f"a{burst}", 20, request={"prompt": random.Random(burst).randbytes(3000).hex()})
                until(lambda burst=burst: two.status()["received"] >= 20 * (burst + 1))  # type: ignore[misc]  # a default argument
                if burst == 3:
                    until(lambda: to_objects.cuts >= 2 and to_postgres.cuts >= 2)
                    two.daemon.kill()
                    two.daemon.start()
            until(lambda: to_objects.cuts >= 4 and to_postgres.cuts >= 4)
            to_objects.is_whole = to_postgres.is_whole = True
            two.settled("postgres", 120)
            two.settled("clickhouse", 120)
            balance(two, s3)


def test_storage_that_fails_in_every_way_between_kills_leaves_an_object_for_each_row(
    two: TwoStores, s3: S3
) -> None:
    restart(two, payload_store_timeout_seconds=1, **s3.settings())
    for number, kind in enumerate(("status", "cut", "store_then_cut")):
        s3.fault(kind, 12)
        send(two, f"{kind}-", 20)
        until(lambda kind=kind: s3.counts()[kind])  # type: ignore[misc]  # a default argument
        if number:
            two.daemon.kill()
            two.daemon.start()
    s3.release()
    two.settled("postgres", 60)
    two.settled("clickhouse", 60)
    balance(two, s3)


def test_a_slow_link_delivers_what_takes_many_times_the_limit(two: TwoStores, storage: Folder) -> None:
    with running_postgres_proxy(two.server.port) as proxy:
        proxy.bytes_per_second = 400_000
        url = two.postgres_url.replace(f":{two.server.port}/", f":{proxy.port}/")
        restart(two, postgres_url=url, payloads="inline", insert_timeout_seconds=0.4)
        send(two, "a", 10, request={"prompt": random.Random(1).randbytes(120_000).hex()})
        two.settled("postgres", 10)
        two.settled("clickhouse", 10)
        balance(two, storage)
