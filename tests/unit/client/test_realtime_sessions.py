"""Two hundred sessions over WebSockets, from the providers' documented events, with interruptions of every kind.

Invariant of each: one record for a response, with the counts that the provider reported, by part, and no count where it
reported none. Sources: OpenAI API reference, "Realtime server events" and "Responses: WebSocket mode"; Azure "GPT
Realtime API events reference" (the older names of events); xAI docs, "Voice agent API"; Gemini "Live API reference".
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from llmledger.instrumentation.conversation import Conversation
from llmledgerd.usage import Exchange, Facts, read_exchange

SESSIONS = 200
Json = dict[str, Any]


class Said(NamedTuple):
    """A message of the provider, or of the application."""

    message: Json
    is_sent: bool = False


class Expected(NamedTuple):
    """What a response's record has to say; None is unknown."""

    outcome: str | None
    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    audio_in: int = 0
    audio_out: int = 0
    reasoning: int | None = None


class Session(NamedTuple):
    """A connection's address, its messages and its records."""

    provider: str
    url: str
    query: str
    model: str
    said: list[Said]
    expected: list[Expected]


FATES = ("completed", "completed", "barge-in", "cancelled", "failed", "incomplete", "cut")


def openai_usage(dice: random.Random) -> tuple[Json, Expected]:
    """Usage of Realtime, by modality."""
    text, audio, cached = dice.randrange(1, 900), dice.randrange(900), dice.randrange(64)
    text_out, audio_out = dice.randrange(1, 400), dice.randrange(400)
    usage = {
        "total_tokens": text + audio + text_out + audio_out,
        "input_tokens": text + audio,
        "output_tokens": text_out + audio_out,
        "input_token_details": {
            "text_tokens": text,
            "audio_tokens": audio,
            "image_tokens": 0,
            "cached_tokens": min(cached, text),
            "cached_tokens_details": {"text_tokens": min(cached, text), "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }
    return usage, Expected(None, text + audio, text_out + audio_out, min(cached, text), audio, audio_out)


def realtime(dice: random.Random, names: Json, *, has_usage: bool = True) -> Iterator[tuple[Said, Any]]:
    """A session of Realtime's kind; of each message what it completes."""
    yield Said({"type": "session.created", "session": {"id": "sess_1", "model": names["model"]}}), None
    yield Said({"type": "session.update", "session": {"instructions": "hi"}}, True), None
    yield Said({"type": "session.updated", "session": {"id": "sess_1", "model": names["model"]}}), None
    for number in range(dice.randrange(1, 7)):
        name, fate = f"resp_{number}", dice.choice(FATES)
        if dice.random() < 0.5:  # else the provider's detection of turns begins it
            yield Said({"type": "response.create", "event_id": f"e{number}"}, True), None
        else:
            yield Said({"type": "input_audio_buffer.append", "audio": "AAAA"}, True), None
            yield Said({"type": "input_audio_buffer.speech_started", "audio_start_ms": 1}), None
            yield Said({"type": "input_audio_buffer.committed", "item_id": "i"}), None
        yield (
            Said(
                {"type": "response.created", "response": {"id": name, "status": "in_progress", "usage": None}}
            ),
            None,
        )
        yield Said({"type": "response.output_item.added", "response_id": name, "item": {}}), None
        for _ in range(dice.randrange(1, 5)):
            yield Said({"type": names["delta"], "response_id": name, "delta": "AAAA"}), None
        if dice.random() < 0.2:  # about something else: it ends nothing
            about = {"type": "invalid_request_error", "event_id": "e-other", "message": "no"}
            yield Said({"type": "error", "error": about}), None
        if fate == "cut":
            yield Said({}), Expected("cancelled")
            return
        if fate == "barge-in":
            yield Said({"type": "input_audio_buffer.speech_started", "audio_start_ms": 9}), None
            yield Said({"type": "conversation.item.truncate", "item_id": "i"}, True), None
        if fate == "cancelled":
            yield Said({"type": "response.cancel"}, True), None
        status = "cancelled" if fate == "barge-in" else fate
        usage, said = openai_usage(dice)
        if fate == "failed" or not has_usage:
            usage, said = {}, Expected(None)
        response: Json = {"object": "realtime.response", "id": name, "status": status, "output": []}
        if usage:
            response["usage"] = usage
        outcome = {"cancelled": "cancelled", "failed": "error"}.get(status)
        yield Said({"type": "rate_limits.updated", "rate_limits": []}), None
        yield Said({"type": "response.done", "response": response}), said._replace(outcome=outcome)


def responses(dice: random.Random, names: Json) -> Iterator[tuple[Said, Any]]:
    """A session of Responses, one after the other, each with increments only."""
    for number in range(dice.randrange(1, 7)):
        name, fate = (
            f"resp_{number}",
            dice.choice(("completed", "completed", "incomplete", "failed", "refused", "cut")),
        )
        asked = {
            "type": "response.create",
            "model": names["model"],
            "input": [],
            "previous_response_id": None,
        }
        yield Said(asked, True), None
        if fate == "refused":
            error = {"type": "invalid_request_error", "code": "previous_response_not_found", "message": "no"}
            yield Said({"type": "error", "status": 400, "error": error}), Expected("error")
            continue
        begun = {"id": name, "object": "response", "status": "in_progress", "model": names["model"]}
        yield Said({"type": "response.created", "response": begun}), None
        yield Said({"type": "response.in_progress", "response": begun}), None
        for _ in range(dice.randrange(1, 5)):
            yield Said({"type": "response.output_text.delta", "item_id": "m", "delta": "a"}), None
        if fate == "cut":
            yield Said({}), Expected("cancelled")
            return
        prompt, cached, reasoning = dice.randrange(50, 900), dice.randrange(50), dice.randrange(40)
        completion = reasoning + dice.randrange(1, 99)
        usage = {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": completion,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": prompt + completion,
        }
        whole: Json = {**begun, "status": fate, "output": [], "usage": None if fate == "failed" else usage}
        if fate == "failed":
            whole["error"] = {"code": "server_error", "message": "no"}
            expected = Expected("error")
        else:
            expected = Expected(None, prompt, completion, cached, reasoning=reasoning)
        yield Said({"type": f"response.{fate}", "response": whole}), expected


def live(dice: random.Random, names: Json) -> Iterator[tuple[Said, Any]]:
    """A session of Gemini Live."""
    yield Said({"setup": {"model": names["setup"]}}, True), None
    yield Said({"setupComplete": {}}), None
    for _ in range(dice.randrange(1, 7)):
        fate = dice.choice(("completed", "completed", "interrupted", "tool", "unreported"))
        yield Said({"clientContent": {"turns": [], "turnComplete": True}}, True), None
        for _ in range(dice.randrange(1, 5)):
            part = {"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}}
            yield Said({"serverContent": {"modelTurn": {"parts": [part]}}}), None
        if fate == "tool":
            yield Said({"toolCall": {"functionCalls": [{"id": "f", "name": "f"}]}}), None
            yield Said({"toolResponse": {"functionResponses": []}}, True), None
            yield Said({"serverContent": {"modelTurn": {"parts": [{"text": "a"}]}}}), None
        ended = {"interrupted": True} if fate == "interrupted" else {"generationComplete": True}
        yield Said({"serverContent": ended}), None
        outcome = "cancelled" if fate == "interrupted" else None
        last: Json = {"serverContent": {"turnComplete": True}}
        if fate == "unreported":
            yield Said(last), Expected(None)
            continue
        prompt, completion, cached = dice.randrange(50, 900), dice.randrange(1, 99), dice.randrange(50)
        last["usageMetadata"] = {
            "promptTokenCount": prompt,
            "cachedContentTokenCount": cached,
            "responseTokenCount": completion,
            "totalTokenCount": prompt + completion,
            "promptTokensDetails": [
                {"modality": "AUDIO", "tokenCount": 30},
                {"modality": "TEXT", "tokenCount": prompt - 30},
            ],
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": completion}],
        }
        yield Said(last), Expected(outcome, prompt, completion, cached, 30, completion)


KINDS: list[tuple[str, str, str, str, Callable[[random.Random], Iterator[tuple[Said, Any]]]]] = [
    (
        "openai",
        "wss://api.openai.com/v1/realtime",
        "model=gpt-realtime",
        "gpt-realtime",
        lambda dice: realtime(dice, {"model": "gpt-realtime", "delta": "response.output_audio.delta"}),
    ),
    (
        "azure",
        "wss://one.openai.azure.com/openai/realtime",
        "api-version=2025-04-01-preview&deployment=mine",
        "gpt-4o-realtime-preview",
        lambda dice: realtime(dice, {"model": "gpt-4o-realtime-preview", "delta": "response.audio.delta"}),
    ),
    (
        "xai",
        "wss://api.x.ai/v1/realtime",
        "",
        "grok-voice",
        lambda dice: realtime(
            dice, {"model": "grok-voice", "delta": "response.output_audio.delta"}, has_usage=False
        ),
    ),
    (
        "openai",
        "wss://api.openai.com/v1/responses",
        "",
        "gpt-5",
        lambda dice: responses(dice, {"model": "gpt-5"}),
    ),
    (
        "google",
        "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta.GenerativeService"
        ".BidiGenerateContent",
        "key=k",
        "gemini-live-2.5-flash",
        lambda dice: live(dice, {"setup": "models/gemini-live-2.5-flash"}),
    ),
    (
        "vertex",
        "wss://us-central1-aiplatform.googleapis.com/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent",
        "",
        "gemini-live-2.5-flash",
        lambda dice: live(
            dice, {"setup": "projects/p/locations/l/publishers/google/models/gemini-live-2.5-flash"}
        ),
    ),
]


def session(number: int) -> Session:
    """Return the session of a number, which is the same each time."""
    dice = random.Random(number)
    provider, url, query, model, made = KINDS[number % len(KINDS)]
    said, expected = [], []
    for message, completes in made(dice):
        if message.message:
            said.append(message)
        if completes is not None:
            expected.append(completes)
    return Session(provider, url, query, model, said, expected)


def records_of(one: Session) -> list[Json]:
    """Return the records of a session whose connection is closed after its last message."""
    found: list[Json] = []
    talk = Conversation(one.provider, one.url, one.query, found.append)
    for number, said in enumerate(one.said):
        if said.is_sent:
            talk.sent(json.dumps(said.message))
        else:
            talk.received(json.dumps(said.message).encode(), number * 0.01)
    talk.closed(len(one.said) * 0.01)
    return found


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
        records = records_of(one)
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
        assert len({record["provider_trace_id"] for record in records}) == len(records)
    assert responses_made > 2 * SESSIONS
    assert wrong == []
