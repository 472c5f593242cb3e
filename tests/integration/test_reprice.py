"""Costs are computed again from what the rows keep, and the rollup follows."""

from __future__ import annotations

import time
from decimal import Decimal

from llmledgerd.query.repricing import Reprice, Repriced
from llmledgerd.records.pricing import Pricer
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.reprice import reprice as compute_again
from tests.helpers.rollups import differences, doubted, mend
from tests.helpers.store_rows import add_traces

USAGE = b'{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}'
DAY_US = 86_400_000_000
CALLED_US = (
    time.time_ns() // 1000 // DAY_US - 2
) * DAY_US + DAY_US // 2  # recent, or its rollup counts as expired
GPT_4O = Decimal("0.0035")  # 1,000 at $2.50 and 100 at $10 for a million


def call(**fields: object) -> dict[str, object]:
    return {
        "organization_id": "acme",
        "provider": "openai",
        "model": "gpt-4o",
        "created_at": CALLED_US,
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "total_tokens": 1100,
        "usage_json": USAGE,
        "usage_source": "reported",
        **fields,
    }


def reprice(store: Store, pricer: Pricer | None = None, *, dry_run: bool = False) -> Repriced:
    wanted = Reprice(from_us=CALLED_US, to_us=CALLED_US + DAY_US, dry_run=dry_run)
    return compute_again(store, pricer or Pricer(), wanted, "somebody@somewhere")


def costs(store: Store) -> dict[str, tuple[Decimal | None, str]]:
    rows = store.query("SELECT id, cost_usd, cost_usd_source FROM llm_traces")
    return {row["id"]: (row["cost_usd"], row["cost_usd_source"]) for row in rows}


def test_wrong_and_missing_costs_are_mended_and_others_are_left(server: Store) -> None:
    add_traces(
        server,
        [
            call(id="unpriced"),
            call(id="wrong", cost_usd=Decimal("9"), cost_usd_source="list_price"),
            call(id="right", cost_usd=GPT_4O, cost_usd_source="list_price"),
            call(id="provider", cost_usd=Decimal("7"), cost_usd_source="provider"),
            call(id="unheard-of", model="no-such-model", provider="nobody"),
            call(id="unknown", usage_json=b"", usage_source="unknown"),
            call(id="outside", created_at=CALLED_US + DAY_US),
        ],
    )
    done = reprice(server)
    assert (done.total, done.looked_at, done.changed, done.unpriced) == (5, 5, 4, 2)
    assert costs(server) == {
        "unpriced": (GPT_4O, "list_price"),
        "wrong": (GPT_4O, "list_price"),
        "right": (GPT_4O, "list_price"),
        "provider": (Decimal("7"), "provider"),
        "unheard-of": (None, ""),
        "unknown": (None, ""),
        "outside": (None, ""),
    }
    assert reprice(server).changed == 0


def test_the_rollup_is_in_doubt_until_its_hours_are_rebuilt(server: Store) -> None:
    add_traces(server, [call(id="unpriced")])
    mend(server)
    assert doubted(server) == 0
    reprice(server)
    assert doubted(server) == 1
    mend(server)
    assert not differences(server)
