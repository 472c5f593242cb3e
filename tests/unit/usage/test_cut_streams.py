"""Streams cut anywhere: what there is, and no more."""

from __future__ import annotations

import json

import pytest

from llmledgerd.usage import Facts
from tests.unit.usage.examples import CHAT_USAGE, STREAMS, WORDS, chat_stream, columns, message_stream, stream

TEXT = "".join(WORDS)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_cut_at_any_character_gives_what_there_is(kind: str) -> None:
    text = STREAMS[kind]
    full = stream(text)
    for end in range(1, len(text)):
        facts = stream(text[:end])
        json.loads(facts.response)
        assert _counts_at_most(facts, full)
        assert facts.usage_source in ("unknown", "partial") or columns(facts) == columns(full)
        assert not facts.has_error


def _counts_at_most(facts: Facts, full: Facts) -> bool:
    pairs = zip(columns(facts), columns(full), strict=True)
    return all((part or 0) <= (whole or 0) for part, whole in pairs)


@pytest.mark.parametrize("kind", STREAMS)
def test_text_that_came_before_the_cut_is_kept(kind: str) -> None:
    text = STREAMS[kind]
    facts = stream(text[: text.index(json.dumps(WORDS[-3])[1:-1])])
    assert "record lands once" in facts.response.decode()
    assert not facts.stream_complete


def test_what_message_start_gave_is_a_part() -> None:
    facts = stream(message_stream(WORDS, stop=False))
    assert (facts.prompt_tokens, facts.completion_tokens) == (15, 1)
    assert (facts.usage_source, facts.stream_complete) == ("partial", False)


def test_a_message_whose_delta_came_is_whole_in_its_numbers() -> None:
    text = message_stream(WORDS)
    facts = stream(text[: text.index("event: message_stop")])
    assert (facts.usage_source, facts.stream_complete) == ("reported", False)


def test_chat_without_its_usage_chunk_is_unknown() -> None:
    text = chat_stream(WORDS, usage=CHAT_USAGE)
    facts = stream(text[: text.index('"usage"') - 100])
    assert (facts.usage_source, facts.prompt_tokens) == ("unknown", None)


def test_a_usage_from_the_middle_is_a_part() -> None:
    events = STREAMS["gemini"].split("\n\n")
    facts = stream("\n\n".join(events[:5]) + "\n\n")
    assert (facts.usage_source, facts.completion_tokens) == ("partial", 5)


def test_responses_without_their_end_have_the_text_and_no_usage() -> None:
    text = STREAMS["responses"]
    facts = stream(text[: text.index("event: response.completed")])
    answer = json.loads(facts.response)
    assert answer["output"][0]["content"][0]["text"] == TEXT
    assert (answer["status"], facts.usage_source) == ("in_progress", "unknown")
