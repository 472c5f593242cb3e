"""Room for answers: nobody takes more than half, and whoever waits is let in when there is room."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from llmledgerd.admin.json_stream import pieces, size_of
from llmledgerd.query.answer_budget import LARGEST_BYTES, TOGETHER_BYTES, QueryAdmission, fitting
from llmledgerd.query.results import Call, Page, Payloads


@pytest.mark.parametrize(
    ("sizes", "count"), [([], 0), ([50], 1), ([5, 5], 2), ([5, 6], 1), ([50, 1], 1), ([0, 0, 11], 2)]
)
def test_the_first_always_fits_and_others_as_far_as_they_do(sizes: list[int], count: int) -> None:
    assert fitting(sizes, 10) == count


async def test_one_asker_has_half_of_the_turns_and_of_the_bytes() -> None:
    turns = QueryAdmission(4, is_shared=True)
    first = await turns.begin("a", LARGEST_BYTES)
    second = asyncio.create_task(turns.begin("a", LARGEST_BYTES))
    other = await turns.begin("b", LARGEST_BYTES)

    assert not second.done()
    assert turns.bytes == TOGETHER_BYTES
    turns.end(first)
    turns.end(await second)
    turns.end(other)
    assert turns.bytes == 0


async def test_whoever_goes_while_it_waits_takes_nothing_with_it() -> None:
    turns = QueryAdmission(1, is_shared=False)
    first = await turns.begin("a", 10)
    waiting = asyncio.create_task(turns.begin("b", 10))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    turns.end(first)
    turns.end(await turns.begin("c", TOGETHER_BYTES))
    assert turns.bytes == 0


def call(**fields: object) -> Call:
    texts = {field.name: "" for field in msgspec.structs.fields(Call) if field.required and field.type is str}
    numbers = {
        field.name: 0 for field in msgspec.structs.fields(Call) if field.required and field.type is int
    }
    flags = {
        field.name: False for field in msgspec.structs.fields(Call) if field.required and field.type is bool
    }
    now = datetime(2024, 1, 1, tzinfo=UTC)
    rest: dict[str, Any] = {
        "agent_tags": ["a"],
        "cached_input_tokens": None,
        "cache_write_tokens": 1,
        "reasoning_tokens": None,
        "cost_usd": None,
        "sent_cost_usd": None,
        "cost_parts": {},
        "usage_units": {},
        "time_to_first_token_ms": None,
        "created_at": now,
        "ingested_at": now,
        "batch_id": uuid.UUID(int=1),
    }
    given: dict[str, Any] = {**texts, **numbers, **flags, **rest, **fields}
    return Call(**given)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 196607, 196608, 196609, 1 << 20])
def test_pieces_are_the_json_that_one_encoder_would_write(size: int) -> None:
    payloads = Payloads(b"\xff" * size, b"{}", b"", b'"payloads":null')
    one = call(id='"payloads":null,', error_message='\\"payloads":null', payloads=payloads)
    for answer in (one, [one, call(), one], [], Page([call()], "c"), Page([], None), None, [{"a": 1}]):
        assert b"".join(pieces(answer)) == msgspec.json.encode(answer, enc_hook=str)
    assert size_of([one, call()]) == size + 2 + len(payloads.usage_json)
    assert max(map(len, pieces(one))) < 600_000
