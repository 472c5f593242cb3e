"""Costs are computed again from what the rows keep, and the rollup follows."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest

from llmledger.protocol import Record
from llmledgerd.errors import LlmledgerdError
from llmledgerd.query.repricing import Reprice, Repriced
from llmledgerd.records.pricing import PriceList, Pricer
from llmledgerd.records.pricing.own_prices import OwnPrices, parsed
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS
from llmledgerd.stores.clickhouse import price_updates
from llmledgerd.stores.clickhouse import reprice as repricing
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.corpus import needs_corpus, records
from tests.helpers.rollups import differences, doubted, mend
from tests.helpers.store_rows import add_traces
from tests.integration.test_corpus_rows import line_of
from tests.unit.usage.examples import STREAMS
from tests.unit.usage.test_mutations import REPLIES

USAGE = b'{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}'
DAY_US = 86_400_000_000
CALLED_US = (
    time.time_ns() // 1000 // DAY_US - 2
) * DAY_US + DAY_US // 2  # recent, or its rollup counts as expired
GPT_4O = Decimal("0.0035")  # 1,000 at $2.50 and 100 at $10 for a million
PARTS = {"input": Decimal("0.0025"), "output": Decimal("0.001")}
COST_COLUMNS = ("cost_usd", "cost_usd_source", "cost_reason", "priced_model", "price_list", "cost_parts")


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


def reprice(
    store: Store,
    pricer: Pricer | None = None,
    *,
    dry_run: bool = False,
    on_page: Callable[[Repriced], None] = lambda done: None,
) -> Repriced:
    wanted = Reprice(from_us=CALLED_US, to_us=CALLED_US + DAY_US, dry_run=dry_run)
    return repricing.reprice(store, pricer or Pricer(), wanted, "somebody@somewhere", on_page)


def own(text: str) -> OwnPrices:
    return parsed(text.encode(), "prices.toml", "prices.toml 2030-01-01")


def costs(store: Store) -> dict[str, tuple[Any, ...]]:
    rows = store.query(f"SELECT id, {', '.join(COST_COLUMNS)} FROM llm_traces")
    return {row["id"]: tuple(row[name] for name in COST_COLUMNS) for row in rows}


def recorded(store: Store) -> list[dict[str, Any]]:
    return store.query(
        "SELECT state, by, model, calls, old_unknown, new_unknown, old_usd, new_usd FROM llm_price_changes ORDER BY at"
    )


def test_wrong_and_missing_costs_are_mended_and_others_are_left(server: Store) -> None:
    add_traces(
        server,
        [
            call(id="unpriced"),
            call(id="wrong", cost_usd=Decimal("9"), cost_usd_source="list_price"),
            call(id="right", cost_usd=GPT_4O, cost_usd_source="list_price", cost_parts=PARTS, price_list="of old"),
            call(id="provider", cost_usd=Decimal("7"), cost_usd_source="provider"),
            call(id="unheard-of", model="no-such-model", provider="nobody", cost_reason="no_price"),
            call(id="unknown", usage_json=b"", usage_source="unknown"),
            call(id="outside", created_at=CALLED_US + DAY_US),
        ],
    )  # fmt: skip
    done = reprice(server)
    assert (done.total, done.looked_at, done.changed, done.unpriced) == (5, 5, 3, 2)
    listed = (GPT_4O, "list_price", "", "gpt-4o", PriceList().name, PARTS)
    assert costs(server) == {
        "unpriced": listed,
        "wrong": listed,
        "right": (GPT_4O, "list_price", "", "", "of old", PARTS),  # another list of the same amounts
        "provider": (Decimal("7"), "provider", "", "", "", {}),
        "unheard-of": (None, "", "no_price", "", "", {}),
        "unknown": (None, "", "usage_unknown", "gpt-4o", "", {}),
        "outside": (None, "", "", "", "", {}),
    }
    assert reprice(server).changed == 0


def test_columns_that_the_store_computes_follow_a_new_model(server: Store) -> None:
    add_traces(server, [call(id="a", agent_id="agent")])
    assert reprice(server).changed == 1

    (row,) = server.query(
        "SELECT priced_model, cache_group = sipHash64('agent', 'openai', 'gpt-4o') AS is_new FROM llm_traces"
    )
    assert row == {"priced_model": "gpt-4o", "is_new": 1}


def test_what_was_changed_is_recorded_before_and_after(server: Store) -> None:
    add_traces(server, [call(id="a"), call(id="b", cost_usd=Decimal("9"), cost_usd_source="list_price")])
    assert reprice(server, dry_run=True).changed == 2
    assert not recorded(server)
    done = reprice(server)
    said = {"by": "somebody@somewhere", "model": "gpt-4o", "calls": 2, "old_unknown": 1, "new_unknown": 0,
            "old_usd": Decimal(9), "new_usd": 2 * GPT_4O}  # fmt: skip
    assert recorded(server) == [{"state": "begun", **said}, {"state": "done", **said}]
    (run,) = server.query("SELECT DISTINCT toString(run) AS run FROM llm_price_changes")
    assert run["run"] == done.run


def test_the_rollup_is_in_doubt_until_its_hours_are_rebuilt(server: Store) -> None:
    add_traces(server, [call(id="unpriced")])
    mend(server)
    assert doubted(server) == 0
    reprice(server)
    assert doubted(server) == 1
    mend(server)
    assert not differences(server)


def test_exactly_the_rows_that_a_new_price_is_for_change(server: Store) -> None:
    noon = CALLED_US + 3_600_000_000
    add_traces(
        server,
        [
            call(id="before", created_at=noon - 1),
            call(id="after", created_at=noon),
            call(id="other's", created_at=noon, organization_id="other"),
            call(id="mini", created_at=noon, model="gpt-4o-mini"),
            call(id="provider", created_at=noon, cost_usd=Decimal(7), cost_usd_source="provider"),
        ],
    )
    reprice(server)
    before = costs(server)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(noon / 1e6))
    prices = own(
        f'[[prices]]\nname = "new"\norganization = "acme"\nmodel = "gpt-4o"\nfrom = "{at}"\n'
        "per_million_tokens = { input = 1, output = 2 }\n"
    )
    done = reprice(server, Pricer(None, prices))
    changed = {id_: cost for id_, cost in costs(server).items() if cost != before[id_]}
    parts = {"input": Decimal("0.001"), "output": Decimal("0.0002")}
    listed = f"prices.toml 2030-01-01 (new), {PriceList().name}"
    assert changed == {"after": (Decimal("0.0012"), "own_price", "", "gpt-4o", listed, parts)}
    assert [(one.model, one.calls, one.old_usd, one.new_usd) for one in done.models] == [
        ("gpt-4o", 1, GPT_4O, Decimal("0.0012"))
    ]


def test_a_run_that_was_interrupted_is_repeated(server: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repricing, "PAGE_ROWS", 10)
    add_traces(server, [call(id=f"{number:02}", created_at=CALLED_US + number) for number in range(35)])

    def die(done: Repriced) -> None:
        if done.looked_at == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reprice(server, on_page=die)
    assert sum(cost[0] is not None for cost in costs(server).values()) == 20
    done = reprice(server)
    assert (done.total, done.looked_at, done.changed) == (35, 35, 15)
    assert {cost[0] for cost in costs(server).values()} == {GPT_4O}


def test_a_change_that_the_store_refuses_leaves_its_intention_on_record(
    server: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_traces(server, [call(id="a")])
    monkeypatch.setattr(price_updates, "PLACE_KEY", "throwIf(1)")
    monkeypatch.setattr(repricing, "FAILING_SECONDS", 0)
    with pytest.raises(LlmledgerdError, match="throwIf"):
        reprice(server)
    server.run("KILL MUTATION WHERE table = 'llm_traces' AND database = currentDatabase() SYNC")
    assert [one["state"] for one in recorded(server)] == ["begun"]
    assert doubted(server) == 1
    monkeypatch.undo()
    assert reprice(server).changed == 1


def test_texts_and_amounts_of_every_kind_arrive_as_they_are(
    server: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_updates, "STATEMENT_BYTES", 400)
    name = 'it\'s \\ {x:String} "quoted" %s\nйæ'
    part = "the 'unit' \\n {y:Int8}"
    prices = OwnPrices(name, own(f"[[prices]]\nper_unit = {{ {json.dumps(part)} = '999999.9' }}\n").entries)
    counts = [Decimal("1000.000001"), Decimal("0.000001"), *(Decimal(number) for number in range(2, 40))]
    add_traces(
        server,
        [
            call(id=str(number), usage_json=b"", usage_units={part: count}, model="it's")
            for number, count in enumerate(counts)
        ],
    )
    assert reprice(server, Pricer(None, prices)).changed == len(counts)
    found = costs(server)
    for number, count in enumerate(counts):
        amount = (count * Decimal("999999.9")).quantize(Decimal("1e-9"))
        assert found[str(number)] == (amount, "own_price", "", "it's", name, {part: amount})


def test_a_row_whose_usage_was_erased_in_part_keeps_its_cost(server: Store) -> None:
    usage = b'{"promptTokenCount":10,"candidatesTokenCount":1,"totalTokenCount":11,"promptTokensDetails":[{"modality":"","tokenCount":10}]}'
    add_traces(server, [call(id="a", usage_json=usage, cost_usd=Decimal(9), cost_usd_source="list_price")])
    done = reprice(server)
    assert (done.erased, done.changed) == (1, 0)


def rows_of(lines: Iterable[bytes]) -> list[dict[str, object]]:
    """Return the rows of records, as a daemon makes them, in the range that is priced again."""
    builder = RowBuilder(Pricer())
    made = []
    for number, line in enumerate(lines):
        record = msgspec.json.decode(line, type=Record)
        row = builder.row(
            record, line=line, service="", received_us=CALLED_US, batch_id=str(uuid.uuid4()), batch_row=number
        )
        made.append(dict(zip(COLUMNS, row, strict=True)))
    return made


CALLERS: tuple[dict[str, str], ...] = (
    {},
    {"url": "https://api.openai.com/v1/chat/completions", "model": "gpt-4o"},
    {"url": "https://api.anthropic.com/v1/messages", "model": "claude-sonnet-4-5", "org_id": "acme"},
    {"url": "https://us-east5-aiplatform.googleapis.com/v1/p:generateContent", "model": "gemini-2.5-flash"},
    {"provider": "vllm", "model": "gpt-4o"},
)


def example_lines() -> Iterable[bytes]:
    """Yield every answer and stream that the tests have, from several callers."""
    answers = [{"response": reply} for reply in REPLIES]
    answers += [{"response_stream": text} for text in STREAMS.values()]
    for number, (answer, caller) in enumerate(product(answers, CALLERS)):
        record = {"protocol_version": 4, "provider_trace_id": f"{number:05}", "latency_ms": 7, **caller}
        model = caller.get("model", "m")
        yield json.dumps({**record, **answer}).replace('"model": "m"', f'"model": "{model}"').encode()


def check_unchanged(store: Store, rows: list[dict[str, object]]) -> None:
    add_traces(store, rows)
    before = costs(store)
    sums = store.query(
        "SELECT countIf(arraySum(mapValues(cost_parts)) != ifNull(cost_usd, 0)) AS n FROM llm_traces"
    )
    assert sums == [{"n": 0}]
    done = repricing.reprice(store, Pricer(), Reprice(from_us=0, to_us=10**16), "somebody@somewhere")
    assert done.looked_at > 0
    assert done.changed == 0, done.models
    assert costs(store) == before


def test_a_repricing_without_a_change_of_price_changes_nothing(server: Store) -> None:
    check_unchanged(server, rows_of(example_lines()))


@needs_corpus
def test_a_repricing_of_the_recorded_exchanges_changes_nothing(server: Store) -> None:
    check_unchanged(server, rows_of(line_of(one).strip() for one in records()))
