"""Whatever bytes a sender writes, a line is refused with a reason or makes a row that fits.

``LLMLEDGER_MUTATIONS`` is the number of examples; the default keeps the unit tests quick.
"""

from __future__ import annotations

import os
import uuid

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from llmledger.protocol import Begin, End, Record
from llmledgerd.errors import Rejected
from llmledgerd.records import parsing
from llmledgerd.records.parsing import Dropped
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS
from tests.helpers.columns import assert_fits

EXAMPLES = int(os.environ.get("LLMLEDGER_MUTATIONS", "100"))
BATCH = str(uuid.UUID(int=7, version=4))
RECEIVED_US = 1_900_000_000_000_000
ENOUGH = settings(max_examples=EXAMPLES, deadline=None)

BUILDER = RowBuilder(Pricer())

PLAIN = {
    "protocol_version": 4,
    "provider_trace_id": "provider_trace-1",
    "agent_id": "a",
    "tags": ["t"],
    "provider": "openai",
    "model": "gpt-4o",
    "timestamp": "2030-03-17T17:46:39Z",
    "latency_ms": 5,
    "time_to_first_token_ms": 1.5,
    "attempt": 1,
    "status_code": 200,
    "url": "https://api.openai.com/v1/chat/completions",
    "error": None,
    "billing": {"plan_type": "basic"},
    "llm_config": {"model": "m", "model_endpoint_type": "openai"},
    "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
    "response": {
        "id": "chatcmpl-1",
        "model": "gpt-4o",
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    },
}
STREAMED = {
    **{name: value for name, value in PLAIN.items() if name != "response"},
    "response_stream": 'data: {"id":"1","model":"gpt-4o","choices":[{"delta":{"content":"Hi"}}]}\n\n'
    'data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5}}\n\ndata: [DONE]\n\n',
}
LINES = [msgspec.json.encode(line) for line in (PLAIN, STREAMED)]

SCRAPS = [
    b"null", b"-1", b"1e999", b"-0.0", b"9" * 400, b"true", b'""', b"[]", b"{}", b"[" * 2000, b"]" * 2000,
    b'"\\ud800"', b"\xff", b"\\", b'"', b",", b":", b"}", b"0x1", b"NaN", b"\x00", b'"request":', b"\\u0000",
]  # fmt: skip


def check(line: bytes) -> None:
    try:
        parsed = parsing.parse(line)
    except Rejected as refused:
        known = refused.reason in parsing.REASONS
    else:
        known = True
        build(parsed)
    assert known


def build(parsed: Record | Begin | Dropped | End) -> None:
    if isinstance(parsed, Record):
        row = BUILDER.row(
            parsed, line=b"its own", service="s", received_us=RECEIVED_US, batch_id=BATCH, batch_row=0
        )
    elif isinstance(parsed, Begin):
        row = BUILDER.abandoned(parsed, service="s", received_us=RECEIVED_US, batch_id=BATCH, batch_row=0)
    else:
        return
    assert len(row) == len(COLUMNS)
    assert_fits(row)


@ENOUGH
@given(st.data())
def test_a_line_with_scraps_spliced_in_is_refused_or_fits(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from(LINES))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(line)))
        end = data.draw(st.integers(start, min(len(line), start + 40)))
        line = line[:start] + data.draw(st.sampled_from(SCRAPS) | st.binary(max_size=4)) + line[end:]
    check(line)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**31, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, value: object, depth: int = 0) -> object:
    """Draw a copy of the value in which members are replaced, dropped or kept at any level."""
    if depth and draw(st.integers(0, 7)) == 0:
        return draw(values)
    if isinstance(value, dict):
        kept = {name: draw(mutated(member, depth + 1)) for name, member in value.items()}
        for name in draw(st.lists(st.sampled_from(sorted(kept) or [""]), max_size=2)):
            kept.pop(name, None)
        return kept
    if isinstance(value, list):
        return [draw(mutated(member, depth + 1)) for member in value]
    return value


@ENOUGH
@given(st.sampled_from([PLAIN, STREAMED]).flatmap(mutated))
def test_a_record_with_members_of_any_type_is_refused_or_fits(record: object) -> None:
    check(msgspec.json.encode(record))


@ENOUGH
@given(mutated(PLAIN["response"]), st.sampled_from(["openai", "anthropic", "", "gemini"]))
def test_no_payload_makes_a_record_a_dead_letter(response: object, provider: str) -> None:
    line = msgspec.json.encode({**PLAIN, "provider": provider, "response": response})
    assert isinstance(parsing.parse(line), Record)
    check(line)


@ENOUGH
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_fit(line: bytes) -> None:
    check(line)
