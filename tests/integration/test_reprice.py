"""Costs are computed again from what the rows keep, and the rollup follows."""

from __future__ import annotations

import time
from decimal import Decimal

from llmledgerd.records.pricing import Pricer
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.reprice import reprice
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
    done = reprice(server, Pricer(), CALLED_US, CALLED_US + DAY_US)
    assert (done.looked_at, done.changed, done.unknown) == (5, 2, 1)
    assert costs(server) == {
        "unpriced": (GPT_4O, "list_price"),
        "wrong": (GPT_4O, "list_price"),
        "right": (GPT_4O, "list_price"),
        "provider": (Decimal("7"), "provider"),
        "unheard-of": (None, ""),
        "unknown": (None, ""),
        "outside": (None, ""),
    }
    assert reprice(server, Pricer(), CALLED_US, CALLED_US + DAY_US).changed == 0
    assert not server.query("SELECT name FROM system.tables WHERE name LIKE 'llmledger_reprice%'")


def test_the_rollup_is_in_doubt_until_its_hours_are_rebuilt(server: Store) -> None:
    add_traces(server, [call(id="unpriced")])
    mend(server)
    assert doubted(server) == 0
    reprice(server, Pricer(), CALLED_US, CALLED_US + DAY_US)
    assert doubted(server) == 1
    mend(server)
    assert not differences(server)
