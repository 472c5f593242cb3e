from __future__ import annotations

import msgspec

from llmledgerd.otlp.calls import Call, Context, Counts
from llmledgerd.otlp.lines import id_of, line_of
from llmledgerd.otlp.signals import LogRecord, Origin, Span

ORIGIN = Origin({"service.name": "shop"}, "scope", "1.0")
SPAN = Span(origin=ORIGIN, trace_id="a" * 32, span_id="b" * 16, name="chat")


def record(call: Call, context: Context = Context(), limit: int = 1 << 20) -> dict[str, object]:  # noqa: B008 - it is frozen
    found: dict[str, object] = msgspec.json.decode(line_of(SPAN, call, context, "gen_ai", limit))
    return found


def test_a_line_that_is_too_long_loses_its_payloads_and_keeps_its_counts() -> None:
    call = Call(
        model="m",
        request={"messages": "x" * 5000},
        response={"choices": []},
        counts=Counts(input=1, output=2),
    )
    found = record(call, limit=2000)
    assert "request" not in found
    assert found["response"] == {
        "model": "m",
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def test_identifiers_are_cut_at_the_wire_s_limit() -> None:
    found = record(Call(), Context(agent="a" * 500, run="r" * 128, organization="o" * 200))
    assert [len(str(found[name])) for name in ("agent_id", "run_id", "org_id")] == [128, 128, 128]


def test_the_id_is_that_of_the_provider_s_request_or_of_trace_and_span() -> None:
    assert id_of(SPAN, Call()) == f"otlp-{'a' * 32}-{'b' * 16}"
    assert id_of(SPAN, Call(name="anthropic-req_1")) == "otlp-anthropic-req_1"
    long = id_of(SPAN, Call(name="x" * 1000))
    assert len(long) <= 128
    assert long != id_of(SPAN, Call(name="x" * 1001))


def test_log_records_that_differ_in_anything_have_different_ids() -> None:
    first = LogRecord(origin=ORIGIN, name="codex.sse_event", at_ns=1, attributes={"a": 1, "b": b"x"})
    same = LogRecord(origin=ORIGIN, name="codex.sse_event", at_ns=1, attributes={"b": b"x", "a": 1})
    later = LogRecord(origin=ORIGIN, name="codex.sse_event", at_ns=2, attributes={"a": 1, "b": b"x"})
    assert id_of(first, Call()) == id_of(same, Call()) != id_of(later, Call())
