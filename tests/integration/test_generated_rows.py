"""Generated calls are plausible, agree with themselves, and come out the same again."""

from __future__ import annotations

import time

from bench import generated_rows
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.rollups import differences

END_US = time.time_ns() // 1000


def filled(store: Store, **own: object) -> generated_rows.Traffic:
    given = {"rows": 5_000, "days": 3.0, "end_us": END_US, **own}
    traffic = generated_rows.Traffic(**given)  # type: ignore[arg-type]  # each test names its own
    assert list(generated_rows.fill(store, traffic))[-1] == traffic.rows
    return traffic


def one(store: Store, expression: str, condition: str = "1") -> object:
    return store.query(f"SELECT {expression} AS x FROM llm_traces WHERE {condition}")[0]["x"]


def test_as_many_calls_as_asked_for_each_with_an_id(store: Store) -> None:
    filled(store, rows=12_345)

    assert one(store, "count()") == one(store, "uniqExact(id)") == 12_345
    assert one(store, "uniqExact(batch_id, batch_row)") == 12_345
    assert differences(store) == []


def test_numbers_agree_with_each_other(store: Store) -> None:
    filled(store)

    assert one(store, "countIf(total_tokens != prompt_tokens + completion_tokens)") == 0
    assert one(store, "countIf(isNull(cost_usd) != (usage_source = 'unknown'))") == 0
    assert one(store, "countIf(cost_usd <= 0)") == 0
    assert one(store, "countIf(is_error != (outcome != 'ok'))") == 0
    assert one(store, "countIf(cached_input_tokens > prompt_tokens)") == 0
    assert one(store, "countIf(NOT isValidJSON(request_json))") == 0
    assert one(store, "countIf(response_json != '' AND NOT isValidJSON(response_json))") == 0
    assert one(store, "countIf(organization_id = '' OR model = '' OR provider = '')") == 0
    assert one(store, "uniqExact(run_id)") == 5_000 // generated_rows.RUN_CALLS
    for outcome in ("ok", "error", "cancelled"):
        assert one(store, "count()", f"outcome = '{outcome}'") != 0


def test_calls_lie_within_the_days_asked_for(store: Store) -> None:
    filled(store)

    assert one(store, "toUnixTimestamp64Micro(max(created_at))", "1") <= END_US  # type: ignore[operator]  # a number
    assert one(store, "toUnixTimestamp64Micro(min(created_at))") >= END_US - 3.1 * 86_400e6  # type: ignore[operator]  # a number


def test_the_same_seed_makes_the_same_calls_and_another_makes_others(store: Store) -> None:
    fingerprints = set()
    for seed in (1, 1, 2):
        filled(store, rows=1000, seed=seed)
        fingerprints.add(store.query("SELECT sum(fingerprint) AS f FROM llm_usage_hourly")[0]["f"])
        for table in ("llm_traces", "llm_usage_hourly"):
            store.run(f"TRUNCATE TABLE {table}")

    assert len(fingerprints) == 2


def test_organizations_may_be_named(store: Store) -> None:
    filled(store, organizations=("acme", "other"))

    assert one(store, "arraySort(groupUniqArray(organization_id))") == ["acme", "other"]
