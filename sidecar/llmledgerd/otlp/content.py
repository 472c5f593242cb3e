"""Messages and bodies that come in log records of their own, held until the row of their call is made. Pure.

Invariant: memory is bounded in bytes; the oldest are forgotten first. What is held here adds words to a row and never
counts one: a restart, or a record that comes after its call, costs the row its payload and nothing else.

Sources: semantic conventions for generative AI, "Events" (``gen_ai.user.message``, ``gen_ai.choice``); Claude Code docs,
"Monitoring" (``api_response_body``, raw bodies).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import msgspec

from llmledgerd.otlp.calls import Call
from llmledgerd.otlp.messages import choices_of, messages_of
from llmledgerd.otlp.reading import flag, structured, text
from llmledgerd.otlp.signals import LogRecord, Signal

MOST_BYTES: Final = 16 << 20
EACH_BYTES: Final = 600
"""Memory of a message beside its text."""
CHOICE: Final = "gen_ai.choice"
SUFFIX: Final = ".message"
RESPONSE_BODY: Final = "api_response_body"


class Held(msgspec.Struct, gc=False):
    """What was said of one call."""

    asked: list[Any] = []
    answered: list[Any] = []
    body: Any = None
    """The provider's answer, whole."""
    size: int = 0


class Contents:
    """What waits for its call, by trace and span or by the call's name."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._size = 0
        self._most = most_bytes

    def note(self, record: LogRecord) -> None:
        """Hold what a record says of its call; nothing of a record that says nothing."""
        found = record.attributes
        name = record.name
        if name.endswith(RESPONSE_BODY):
            request, body = text(found, "request_id"), structured(found.get("body"))
            if request and isinstance(body, dict) and not flag(found, "body_truncated"):
                self._held_for(f"anthropic-{request}", len(str(found["body"]))).body = body
        elif record.span_id and name.startswith("gen_ai.") and (name == CHOICE or name.endswith(SUFFIX)):
            body = record.body if isinstance(record.body, dict) else {}
            said = {**found, **body}
            held = self._held_for(record.trace_id + record.span_id, len(str(body)) + len(str(found)))
            if name == CHOICE:
                held.answered.append(said)
            else:
                held.asked.append({"role": name.removeprefix("gen_ai.").removesuffix(SUFFIX), **said})

    def lend(self, signal: Signal, call: Call) -> None:
        """Give a call what is held for it and it does not say itself."""
        for name in (call.name, signal.trace_id + signal.span_id):
            held = self._held.pop(name, None) if name else None
            if held is None:
                continue
            self._size -= held.size
            if held.body is not None:
                call.response = held.body
                call.usage = held.body.get("usage") or call.usage
            request = dict(call.request) if isinstance(call.request, dict) else {}
            if held.asked and not request.get("messages"):
                call.request = {
                    **request,
                    "messages": [_without_names(one) for one in messages_of(held.asked)],
                }
            if held.answered and not _has_messages(call.response):
                call.response = {"choices": choices_of(held.answered, call.finish_reasons)}

    def _held_for(self, name: str, size: int) -> Held:
        held = self._held.setdefault(name, Held())
        self._held.move_to_end(name)
        held.size += size + EACH_BYTES
        self._size += size + EACH_BYTES
        while self._size > self._most and len(self._held) > 1:
            _, forgotten = self._held.popitem(last=False)
            self._size -= forgotten.size
        return held


def _without_names(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without what names the event and its sender."""
    return {name: one for name, one in message.items() if "." not in name}


def _has_messages(body: Any) -> bool:
    choices = body.get("choices") if isinstance(body, dict) else None
    return isinstance(choices, list) and any(isinstance(one, dict) and one.get("message") for one in choices)
