"""Two hundred sessions over WebSockets: one record for a response, with the counts that the provider reported, by part."""

from __future__ import annotations

import json

from llmledger.instrumentation.conversation import Conversation, is_conversation
from llmledgerd.usage import Exchange, Facts, read_exchange
from tests.helpers.realtime import SESSIONS, Expected, Json, Session, session


def records_of(one: Session) -> tuple[list[Json], list[Json]]:
    """Return records and announcements of a session whose connection is closed after its last message."""
    found: list[Json] = []
    announced: list[Json] = []
    talk = Conversation(one.provider, one.url, one.query, found.append, announced.append)
    for number, said in enumerate(one.said):
        if said.is_sent:
            talk.sent(json.dumps(said.message), number * 0.01)
        else:
            talk.received(json.dumps(said.message).encode(), number * 0.01)
    talk.closed(len(one.said) * 0.01)
    return found, announced


def facts_of(record: Json) -> Facts:
    body = record.get("response", b"")
    return read_exchange(Exchange(url=record["url"], request=record.get("request", b""), response=body))


def seen(record: Json) -> Expected:
    """Return what the record says, as the daemon reads it."""
    facts = facts_of(record)
    priced = facts.priced[0] if facts.priced else None
    return Expected(
        record.get("outcome"),
        facts.prompt_tokens,
        facts.completion_tokens,
        facts.cached_input_tokens,
        priced.input_audio if priced else 0,
        priced.output_audio if priced else 0,
        facts.reasoning_tokens or None,
    )


def known(one: Expected) -> Expected:
    """Return it with a reported 0 of a part and its absence as one."""
    return one._replace(cached=one.cached or None, reasoning=one.reasoning or None)


def test_two_hundred_sessions_with_interruptions_are_right() -> None:
    wrong, responses_made = [], 0
    for number in range(SESSIONS):
        one = session(number)
        assert is_conversation(one.url)
        records, announced = records_of(one)
        responses_made += len(one.expected)
        # Those that were cut are recorded when the connection ends.
        found = sorted(map(str, map(known, map(seen, records))))
        if found != sorted(map(str, map(known, one.expected))):
            wrong.append((number, one.url, found, one.expected))
        for record in records:
            assert record["provider"] == one.provider
            assert (record.get("model"), record["url"]) == (one.model, one.url) or "/responses" in one.url
            assert record["latency_ms"] >= 0
            assert record.get("time_to_first_token_ms", 1) > 0
            assert (facts_of(record).usage_source == "unknown") == (seen(record).prompt is None)
        ids = {record["provider_trace_id"] for record in records}
        assert len(ids) == len(records) == len(announced)
        assert ids == {begun["provider_trace_id"] for begun in announced}
        assert {begun.get("model") for begun in announced} <= {one.model, None}
    assert responses_made > 2 * SESSIONS
    assert wrong == []
