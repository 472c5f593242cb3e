"""Two hundred sessions over WebSockets, from the providers' documented events, with interruptions of every kind.

Invariant: a session's messages, and the records that they are worth, are the same each time.

Sources: OpenAI API reference, "Realtime server events" and "Responses: WebSocket mode" (``stream_id``, steering); Azure
"GPT Realtime API events reference" (the older names of events); xAI docs, "Voice agent API" and "WebSocket mode"; Gemini
"Live API reference".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

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


Part = Said | Expected
"""A message, or the record that the messages before it are worth."""


class Session(NamedTuple):
    """A connection's address, its messages and its records."""

    provider: str
    url: str
    query: str
    model: str
    said: list[Said]
    expected: list[Expected]


FATES = ("completed", "completed", "barge-in", "cancelled", "failed", "incomplete", "busy", "parallel", "cut")


def openai_usage(dice: random.Random) -> tuple[Json, Expected]:
    """Return the usage of Realtime, by modality."""
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


class Realtime:
    """Events of OpenAI's Realtime and of those who have copied it."""

    def __init__(self, dice: random.Random, model: str, delta: str, *, has_usage: bool = True) -> None:
        self._dice = dice
        self._model = model
        self._delta = delta
        self._has_usage = has_usage

    def session(self) -> Iterator[Part]:
        """Yield a whole session."""
        yield Said({"type": "session.created", "session": {"id": "sess_1", "model": self._model}})
        yield Said({"type": "session.update", "session": {"instructions": "hi"}}, True)
        yield Said({"type": "session.updated", "session": {"id": "sess_1", "model": self._model}})
        for number in range(self._dice.randrange(1, 7)):
            name, fate = f"resp_{number}", self._dice.choice(FATES)
            yield from self._asked(number)
            yield from self._begun(name)
            if fate == "cut":
                yield Expected("cancelled")
                return
            if fate == "parallel":  # out of band, which does not wait for the other's end
                aside = {"conversation": "none", "metadata": {"topic": "aside"}}
                yield Said({"type": "response.create", "event_id": "aside", "response": aside}, True)
                yield from self._begun(f"aside_{number}")
                yield from self._done(f"aside_{number}", "completed")
            yield from self._interrupted(number, fate)
            status = {"barge-in": "cancelled", "busy": "completed", "parallel": "completed"}.get(fate, fate)
            yield Said({"type": "rate_limits.updated", "rate_limits": []})
            yield from self._done(name, status)

    def _asked(self, number: int) -> Iterator[Part]:
        if self._dice.random() < 0.5:  # else the provider's detection of turns begins it
            yield Said({"type": "response.create", "event_id": f"e{number}"}, True)
            return
        yield Said({"type": "input_audio_buffer.append", "audio": "AAAA"}, True)
        yield Said({"type": "input_audio_buffer.speech_started", "audio_start_ms": 1})
        yield Said({"type": "input_audio_buffer.committed", "item_id": "i"})
        heard = "conversation.item.input_audio_transcription"
        yield Said({"type": f"{heard}.delta", "item_id": "i", "delta": "a"})
        billed = {"type": "tokens", "input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
        yield Said({"type": f"{heard}.completed", "item_id": "i", "transcript": "a", "usage": billed})

    def _begun(self, name: str) -> Iterator[Part]:
        begun = {"object": "realtime.response", "id": name, "status": "in_progress", "usage": None}
        yield Said({"type": "response.created", "response": begun})
        yield Said({"type": "response.output_item.added", "response_id": name, "item": {}})
        for _ in range(self._dice.randrange(1, 5)):
            yield Said({"type": self._delta, "response_id": name, "delta": "AAAA"})
        if self._dice.random() < 0.2:  # about something else: it ends nothing
            about = {"type": "invalid_request_error", "event_id": "e-other", "message": "no"}
            yield Said({"type": "error", "error": about})

    def _interrupted(self, number: int, fate: str) -> Iterator[Part]:
        if fate == "barge-in":
            yield Said({"type": "input_audio_buffer.speech_started", "audio_start_ms": 9})
            yield Said({"type": "conversation.item.truncate", "item_id": "i"}, True)
        elif fate == "cancelled":
            yield Said({"type": "response.cancel"}, True)
        elif fate == "busy":
            asked: Json = {"type": "response.create", "event_id": f"busy{number}"}
            error: Json = {
                "type": "invalid_request_error",
                "code": "conversation_already_has_active_response",
            }
            if self._dice.random() < 0.5:
                del asked["event_id"]
            yield Said(asked, True)
            yield Said({"type": "error", "error": {**error, "event_id": asked.get("event_id")}})

    def _done(self, name: str, status: str) -> Iterator[Part]:
        usage, expected = openai_usage(self._dice)
        if status == "failed" or not self._has_usage:
            usage, expected = {}, Expected(None)
        response: Json = {"object": "realtime.response", "id": name, "status": status, "output": []}
        if usage:
            response["usage"] = usage
        yield Said({"type": "response.done", "response": response})
        yield expected._replace(outcome={"cancelled": "cancelled", "failed": "error"}.get(status))


class Responses:
    """Events of OpenAI's Responses: each request has increments only, and may be on a lane of its own."""

    def __init__(self, dice: random.Random, model: str) -> None:
        self._dice = dice
        self._model = model

    def session(self) -> Iterator[Part]:
        """Yield a whole session."""
        fates = ("completed", "completed", "incomplete", "failed", "refused", "broken", "lanes", "steered")
        for number in range(self._dice.randrange(1, 7)):
            name, fate = f"resp_{number}", self._dice.choice((*fates, "cut", "unanswered"))
            if fate == "lanes":
                yield from self._lanes(number)
                continue
            yield self._asked({})
            if fate == "refused":
                error = {"type": "invalid_request_error", "code": "previous_response_not_found"}
                yield Said({"type": "error", "status": 400, "error": error})
                yield Expected("error")
                continue
            if fate == "unanswered":
                yield Expected("cancelled")
                return
            yield from self._begun(name, {})
            if fate == "cut":
                yield Expected("cancelled")
                return
            if fate == "broken":
                yield Said({"type": "error", "code": "server_error", "message": "no", "sequence_number": 9})
                yield Expected("error")
                continue
            if fate == "steered":  # the successor begins without a request
                yield Said({"type": "response.steer", "previous_response_id": name, "input": "go"}, True)
                yield Said({"type": "response.steer.accepted", "steer": {"id": "s"}})
                yield from self._done(name, "completed", {})
                name = f"{name}_next"
                yield from self._begun(name, {})
            yield from self._done(name, "completed" if fate == "steered" else fate, {})

    def _lanes(self, number: int) -> Iterator[Part]:
        """Yield three responses on two lanes, whose events alternate."""
        one, two = {"stream_id": "a"}, {"stream_id": "b"}
        yield self._asked(one)
        yield self._asked(two)
        yield self._asked(one)  # waits for the first
        yield from self._begun(f"resp_{number}b", two)
        yield from self._begun(f"resp_{number}a", one)
        yield from self._done(f"resp_{number}b", "completed", two)
        yield from self._done(f"resp_{number}a", "incomplete", one)
        yield Said({"type": "error", "status": 400, "error": {"type": "invalid_request_error"}, **one})
        yield Expected("error")

    def _asked(self, lane: Json) -> Said:
        asked = {
            "type": "response.create",
            "model": self._model,
            "input": [],
            "previous_response_id": None,
        }
        return Said({**asked, **lane}, True)

    def _response(self, name: str) -> Json:
        return {"id": name, "object": "response", "status": "in_progress", "model": self._model}

    def _begun(self, name: str, lane: Json) -> Iterator[Part]:
        for kind in ("created", "in_progress"):
            yield Said({"type": f"response.{kind}", "response": self._response(name), **lane})
        for _ in range(self._dice.randrange(1, 5)):
            yield Said({"type": "response.output_text.delta", "item_id": "m", "delta": "a", **lane})

    def _done(self, name: str, fate: str, lane: Json) -> Iterator[Part]:
        prompt, cached, reasoning = (
            self._dice.randrange(50, 900),
            self._dice.randrange(50),
            self._dice.randrange(40),
        )
        completion = reasoning + self._dice.randrange(1, 99)
        usage = {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": completion,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": prompt + completion,
        }
        whole: Json = {**self._response(name), "status": fate, "output": [], "usage": usage}
        expected = Expected(None, prompt, completion, cached, reasoning=reasoning)
        if fate == "failed":
            whole |= {"usage": None, "error": {"code": "server_error", "message": "no"}}
            expected = Expected("error")
        yield Said({"type": f"response.{fate}", "response": whole, **lane})
        yield expected


class Live:
    """Events of Gemini Live. Usage is beside a message's one other member, or alone."""

    def __init__(self, dice: random.Random, model: str) -> None:
        self._dice = dice
        self._model = model

    def session(self) -> Iterator[Part]:
        """Yield a whole session."""
        yield Said({"setup": {"model": self._model}}, True)
        yield Said({"setupComplete": {"sessionId": "s"}})
        fates = (
            "completed",
            "completed",
            "interrupted",
            "at once",
            "tool",
            "only a tool",
            "unreported",
            "late",
        )
        for number in range(self._dice.randrange(1, 7)):
            fate = self._dice.choice((*fates, "early", "cut"))
            yield from self._asked(number)
            if fate != "at once":
                yield from self._output(fate)
            if fate == "cut":
                yield Expected("cancelled")
                return
            yield from self._over(fate)

    def _asked(self, number: int) -> Iterator[Part]:
        if self._dice.random() < 0.5:
            content = {"turns": [{"role": "user", "parts": [{"text": "hi"}]}], "turnComplete": True}
            yield Said({("client_content" if number % 2 else "clientContent"): content}, True)
        else:
            yield Said({"realtimeInput": {"audio": {"mimeType": "audio/pcm", "data": "AAAA"}}}, True)
            yield Said({"serverContent": {"inputTranscription": {"text": "hi"}}})

    def _output(self, fate: str) -> Iterator[Part]:
        call = {"toolCall": {"functionCalls": [{"id": "f", "name": "f"}]}}
        if fate == "only a tool":
            yield Said(call)
            return
        for _ in range(self._dice.randrange(1, 5)):
            part = {"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}}
            yield Said({"serverContent": {"modelTurn": {"parts": [part]}}})
            yield Said({"serverContent": {"outputTranscription": {"text": "a"}}})
        if fate == "tool":
            yield Said(call)
            yield Said({"toolResponse": {"functionResponses": []}}, True)
            yield Said({"serverContent": {"modelTurn": {"parts": [{"text": "a"}]}}})

    def _over(self, fate: str) -> Iterator[Part]:
        is_interrupted = fate in ("interrupted", "at once")
        yield Said({"serverContent": {"interrupted" if is_interrupted else "generationComplete": True}})
        usage, expected = self._usage()
        if is_interrupted:
            expected = expected._replace(outcome="cancelled")
        over: Json = {"serverContent": {"turnComplete": True}}
        if fate == "unreported":
            yield Said(over)
            yield Expected(None)
        elif fate == "early":
            yield Said({"sessionResumptionUpdate": {"resumable": True}, "usageMetadata": usage})
            yield Said(over)
            yield expected
        elif fate == "late":
            yield Said(over)
            yield Said({"usageMetadata": usage})
            yield expected
        else:
            yield Said({**over, "usageMetadata": usage})
            yield expected
        yield Said({"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}})

    def _usage(self) -> tuple[Json, Expected]:
        prompt, completion = self._dice.randrange(50, 900), self._dice.randrange(1, 99)
        cached = self._dice.randrange(50)
        usage = {
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
        return usage, Expected(None, prompt, completion, cached, 30, completion)


_GEMINI = "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage"
_VERTEX = "wss://us-central1-aiplatform.googleapis.com/ws/google.cloud.aiplatform.v1.LlmBidiService"
_AUDIO = "response.output_audio.delta"

KINDS: list[tuple[str, str, str, str, Callable[[random.Random], Iterator[Part]]]] = [
    (
        "openai",
        "wss://api.openai.com/v1/realtime",
        "model=gpt-realtime",
        "gpt-realtime",
        lambda dice: Realtime(dice, "gpt-realtime", _AUDIO).session(),
    ),
    (
        "azure",
        "wss://one.openai.azure.com/openai/realtime",
        "api-version=2025-04-01-preview&deployment=mine",
        "gpt-4o-realtime-preview",
        lambda dice: Realtime(dice, "gpt-4o-realtime-preview", "response.audio.delta").session(),
    ),
    (
        "xai",
        "wss://api.x.ai/v1/realtime",
        "",
        "grok-voice",
        lambda dice: Realtime(dice, "grok-voice", _AUDIO, has_usage=False).session(),
    ),
    (
        "openai",
        "wss://api.openai.com/v1/responses",
        "",
        "gpt-5",
        lambda dice: Responses(dice, "gpt-5").session(),
    ),
    (
        "xai",
        "wss://api.x.ai/v1/responses",
        "",
        "grok-4",
        lambda dice: Responses(dice, "grok-4").session(),
    ),
    (
        "google",
        f"{_GEMINI}.v1beta.GenerativeService.BidiGenerateContent",
        "key=k",
        "gemini-live-2.5-flash",
        lambda dice: Live(dice, "models/gemini-live-2.5-flash").session(),
    ),
    (
        "google",
        f"{_GEMINI}.v1alpha.GenerativeService.BidiGenerateContentConstrained",
        "access_token=t",
        "gemini-live-2.5-flash",
        lambda dice: Live(dice, "models/gemini-live-2.5-flash").session(),
    ),
    (
        "vertex",
        f"{_VERTEX}/BidiGenerateContent",
        "",
        "gemini-live-2.5-flash",
        lambda dice: Live(
            dice, "projects/p/locations/l/publishers/google/models/gemini-live-2.5-flash"
        ).session(),
    ),
]


def session(number: int) -> Session:
    """Return the session of a number."""
    provider, url, query, model, parts = KINDS[number % len(KINDS)]
    said: list[Said] = []
    expected: list[Expected] = []
    for part in parts(random.Random(number)):
        if isinstance(part, Said):
            said.append(part)
        else:
            expected.append(part)
    return Session(provider, url, query, model, said, expected)
