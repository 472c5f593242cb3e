"""The SDKs that people use, through the hooks and the daemon, to right rows in the table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import llmledger
from llmledger.instrumentation.safety import faults
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import sdks
from tests.helpers.captured import Captured
from tests.helpers.daemon import RunningDaemon
from tests.helpers.fake_daemon import FakeDaemon
from tests.helpers.migrated_databases import Lend
from tests.helpers.providers import COMPLETION_TOKENS, PROMPT_TOKENS, WORDS, Providers

# The SDKs' own warnings, at their import and later, are not ours to fail on.
pytestmark = pytest.mark.filterwarnings("ignore")

CALLS = int(os.environ.get("LLMLEDGER_SDK_CALLS", "120"))
"""1,000 for the full run."""


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    with Providers() as running:
        yield running


LITELLM_CALLS = ["litellm_sync", "litellm_stream", "litellm_failure"]
LITELLM_WAYS = ("callback", "both", "stranger")
Rows = dict[str, list[dict[str, Any]]]


FURTHER = ("litellm", "mistral", "groq", "cohere")
"""SDKs whose imports take half of the time, beside one of their kind: over HTTPX, asynchronous, streaming."""


def of_each_sdk(names: Iterable[str]) -> list[Any]:
    """Return parameters of a test; calls of FURTHER are made by `make chaos`."""
    return [pytest.param(name, marks=pytest.mark.chaos if name.startswith(FURTHER) else ()) for name in names]


class Made(NamedTuple):
    """What came of calls, each made once: rows of the SDKs', and records of LiteLLM's in each way."""

    rows: Rows
    records: dict[str, Rows]


def _made(host: str, url: str, folder: Path, names: Sequence[str], ways: Sequence[str]) -> Made:
    """Make the calls of these names with hooks, and LiteLLM's in these ways."""
    with RunningDaemon(folder / "real", url=url) as daemon, contextlib.ExitStack() as stack:
        fakes = {how: stack.enter_context(FakeDaemon(folder / how)) for how in ways}
        by_litellm = [sdks.Calls(how, str(fake.path), LITELLM_CALLS) for how, fake in fakes.items()]
        sdks.run(host, sdks.Calls("hooks", str(daemon.socket), names), *by_litellm)
        assert daemon.terminate() == 0
        records: dict[str, Rows] = {how: {} for how in ways}
        for how, fake in fakes.items():
            for record in fake.records():
                records[how].setdefault(record.get("step_id", ""), []).append(record)
        return Made(_read(url), records)


@pytest.fixture(scope="module")
def made(providers: Providers, lend: Lend, tmp_path_factory: pytest.TempPathFactory) -> Made:
    names = [name for name in sdks.CALLS if not name.startswith(FURTHER)]
    with lend() as url:
        return _made(providers.host, url, tmp_path_factory.mktemp("d"), names, ())


@pytest.fixture(scope="module")
def further(providers: Providers, lend: Lend, tmp_path_factory: pytest.TempPathFactory) -> Made:
    names = [name for name in sdks.CALLS if name.startswith(FURTHER)]
    with lend() as url:
        return _made(providers.host, url, tmp_path_factory.mktemp("f"), names, LITELLM_WAYS)


@pytest.fixture
def rows(request: pytest.FixtureRequest, name: str) -> Rows:
    """Return the rows of the calls that were made with that one, by the call's name."""
    made: Made = request.getfixturevalue("further" if name.startswith(FURTHER) else "made")
    return made.rows


def _read(url: str) -> Rows:
    store = Store(url)
    try:
        found: Rows = {}
        for row in store.query("SELECT * FROM llm_traces WHERE organization_id = 'acme'"):
            found.setdefault(row["step_id"], []).append(row)
        return found
    finally:
        store.close()


@pytest.mark.parametrize("name", of_each_sdk(sdks.CALLS))
def test_a_call_lands_one_right_row(rows: Rows, name: str) -> None:
    (row,) = rows[name]
    assert row["prompt_tokens"] == PROMPT_TOKENS
    assert row["completion_tokens"] == (0 if "embeddings" in name else COMPLETION_TOKENS)
    assert (row["outcome"], row["is_error"], row["status_code"]) == ("ok", 0, 200)
    assert row["usage_source"] == "reported"
    assert row["is_stream"] == name.endswith("stream")
    assert (row["time_to_first_token_ms"] is not None) == name.endswith("stream")
    assert row["call_type"] == ("embedding" if "embeddings" in name else "agent_step")
    assert row["agent_tags"] == ["sdk"]
    assert row["model"] not in ("", "unknown")
    assert row["request_size_bytes"] > 0
    assert "embeddings" in name or "".join(WORDS).strip() in str(row["response_json"])


@pytest.mark.parametrize(
    "name", of_each_sdk(name for name in sdks.CALLS if name.startswith(("openai", "anthropic", "groq")))
)
def test_sdks_that_count_their_attempts_are_believed(rows: Rows, name: str) -> None:
    assert rows[name][0]["attempt"] == 1


def test_an_sdks_retries_are_rows_with_their_attempt(providers: Providers) -> None:
    client = Captured()
    llmledger.instrument(hosts=[providers.host], client=client)
    openai = sdks.sdk("openai")
    try:
        with openai.OpenAI(base_url=f"{providers.url}/v1", api_key="k", max_retries=2) as sdk:
            sdk._sleep_for_retry = lambda **_: None
            with pytest.raises(openai.InternalServerError):
                sdk.chat.completions.create(model="fail-500", messages=sdks.MESSAGES)
    finally:
        llmledger.uninstrument()
    assert [(one["attempt"], one["status_code"]) for one in client.records()] == [
        (1, 500),
        (2, 500),
        (3, 500),
    ]


_sent: ContextVar[asyncio.Event] = ContextVar("sent")


async def _tell_sent(_: object) -> None:
    _sent.get().set()


async def _storm(url: str, dice: random.Random) -> None:
    """Make many streamed calls, a third cancelled at random moments, half of the rest failing."""
    openai = sdks.sdk("openai")
    # Runs in the task of the call, just before the exchange: cancelled earlier, there is none.
    http = openai.DefaultAsyncHttpxClient(event_hooks={"request": [_tell_sent]})
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, http_client=http) as sdk:

        async def consume(model: str, step: str, first: asyncio.Event) -> None:
            with llmledger.context(org_id="acme", step_id=step):
                stream = await sdk.chat.completions.create(model=model, messages=sdks.MESSAGES, stream=True)
                async for _ in stream:
                    first.set()

        async def call(number: int) -> None:
            fate = FATES[number % len(FATES)]
            sent, first = asyncio.Event(), asyncio.Event()
            _sent.set(sent)
            task = asyncio.create_task(consume(dice.choice(MODELS[fate]), f"{fate} {number}", first))
            if fate == "cancelled":
                await dice.choice([sent, first]).wait()
                for _ in range(dice.randrange(50)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        for start in range(0, CALLS, 30):
            await asyncio.gather(*map(call, range(start, min(start + 30, CALLS))))


FATES = ("cancelled", "error", "ok")
MODELS = {"cancelled": ["hang"], "error": ["fail-500", "fail-429", "cut"], "ok": ["gpt-4o"]}


def test_a_storm_of_cancelled_and_failing_streams_is_one_right_row_each(
    providers: Providers, server_url: str, tmp_path: Path
) -> None:
    with RunningDaemon(tmp_path / "d", url=server_url) as daemon:
        client = llmledger.TraceClient(daemon.socket)
        llmledger.instrument(hosts=[providers.host], client=client)
        try:
            asyncio.run(_storm(providers.url, random.Random(5)))
        finally:
            llmledger.uninstrument()
        assert client.close(30)
        assert daemon.terminate() == 0
    found = _read(daemon.url)
    assert not faults
    assert len(found) == CALLS
    wrong = {
        step: rows for step, rows in found.items() if [step.split()[0]] != [row["outcome"] for row in rows]
    }
    assert wrong == {}
    assert {row["completion_tokens"] for step, (row,) in found.items() if step.startswith("ok")} == {
        COMPLETION_TOKENS
    }


# LiteLLM's callback, for those who cannot have their HTTP libraries hooked.


@pytest.mark.chaos
@pytest.mark.parametrize("name", LITELLM_CALLS[:2])
def test_litellm_s_callback_makes_one_record_of_a_call(further: Made, name: str) -> None:
    (record,) = further.records["callback"][name]
    assert (record["provider"], record["model"]) == ("hosted_vllm", "qwen")
    assert record["request"]["messages"] == sdks.MESSAGES
    usage = record["response"]["usage"]
    # Of a stream LiteLLM counts the words by itself.
    is_stream = name.endswith("stream")
    assert is_stream or usage["completion_tokens"] == COMPLETION_TOKENS
    assert usage["prompt_tokens"] == PROMPT_TOKENS
    assert record["latency_ms"] > 0
    assert ("time_to_first_token_ms" in record) == is_stream
    assert "api_key" not in record["request"]


@pytest.mark.chaos
def test_litellm_s_callback_records_a_failure_with_its_status(further: Made) -> None:
    (record,) = further.records["callback"]["litellm_failure"]
    assert (record["outcome"], record["error_type"]) == ("error", "InternalServerError")
    assert record["status_code"] == 500


@pytest.mark.chaos
def test_where_the_exchanges_are_recorded_litellm_s_callback_is_silent(further: Made) -> None:
    records = further.records["both"]
    assert {name: len(found) for name, found in records.items()} == dict.fromkeys(LITELLM_CALLS, 1)
    assert all("url" in record for found in records.values() for record in found)


@pytest.mark.chaos
def test_where_the_hooks_do_not_know_the_host_litellm_s_callback_records(further: Made) -> None:
    records = further.records["stranger"]
    assert {name: len(found) for name, found in records.items()} == dict.fromkeys(LITELLM_CALLS, 1)
    assert all(record["provider"] == "hosted_vllm" for found in records.values() for record in found)
