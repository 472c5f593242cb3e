"""LiteLLM's callback, for those who cannot have their HTTP libraries hooked."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from tests.helpers import sdks
from tests.helpers.fake_daemon import FakeDaemon
from tests.helpers.providers import COMPLETION_TOKENS, PROMPT_TOKENS, Providers

SYNC = ["litellm_sync", "litellm_stream", "litellm_failure"]
WAYS = ("callback", "both", "stranger")

Records = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Records]:
    """Make the calls in each way, and return their records by the way and the calls' names."""
    folder = tmp_path_factory.mktemp("d")
    with contextlib.ExitStack() as stack:
        providers = stack.enter_context(Providers())
        daemons = {how: stack.enter_context(FakeDaemon(folder / how)) for how in WAYS}
        sockets = {how: daemon.path for how, daemon in daemons.items()}
        sdks.run_litellm(sockets, providers.host, SYNC)
        found: dict[str, Records] = {how: {} for how in WAYS}
        for how, daemon in daemons.items():
            for record in daemon.records():
                found[how].setdefault(record.get("step_id", ""), []).append(record)
    return found


@pytest.fixture
def records(recorded: dict[str, Records]) -> Records:
    return recorded["callback"]


@pytest.mark.parametrize("name", SYNC[:2])
def test_a_call_is_one_record(records: Records, name: str) -> None:
    (record,) = records[name]
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


def test_a_failure_is_recorded_with_its_status(records: Records) -> None:
    (record,) = records["litellm_failure"]
    assert (record["outcome"], record["error_type"]) == ("error", "InternalServerError")
    assert record["status_code"] == 500


def test_where_the_exchanges_are_recorded_the_callback_is_silent(recorded: dict[str, Records]) -> None:
    records = recorded["both"]
    assert {name: len(found) for name, found in records.items()} == dict.fromkeys(SYNC, 1)
    assert all("url" in record for found in records.values() for record in found)


def test_where_the_hooks_do_not_know_the_host_the_callback_records(
    recorded: dict[str, Records],
) -> None:
    records = recorded["stranger"]
    assert {name: len(found) for name, found in records.items()} == dict.fromkeys(SYNC, 1)
    assert all(record["provider"] == "hosted_vllm" for found in records.values() for record in found)
