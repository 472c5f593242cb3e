"""The last word of a stream: whether a response that was closed early had been received whole. Pure.

Invariants:
- Only the starts of lines and the members of whole events are looked at, which a model's text cannot forge:
  within JSON its newlines are two characters.
- Only the last ``LAST_LINES`` lines are looked at, and of these none beyond ``LONGEST_BYTES`` is decoded.

Readers stop at different places: at ``[DONE]``, at the event with the reason of the stop (LiteLLM at
Anthropic's ``message_delta``), or at the socket's end. From the reason of the stop on, the model has written
all that it will, so the call was not cancelled.

Sources: Anthropic "Streaming messages"; OpenAI API reference, "Streaming" of Chat, Responses, Images, Audio and
Assistants; Gemini "GenerateContentResponse" and "Interactions: streaming"; Cohere "Streaming"; Mistral
"Conversations: streaming"; Bedrock "ConverseStream" and "InvokeModelWithResponseStream"; Ollama "Generate a chat
completion"; Text Generation Inference "generate_stream"; Replicate "Streaming"; Alibaba "DashScope: streaming".
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

LAST_LINES: Final = 12
"""Some providers send usage, or an empty event, after the final one."""

LONGEST_BYTES: Final = 4 << 20
"""msgspec skips that much JSON in a millisecond or two."""

_NAMES: Final = rb"""(?:
    message_stop | messageStop | message-end | stream-end | error | done
  | response\.(?:completed|failed|incomplete|cancelled)
  | conversation\.response\.(?:done|error) | interaction\.(?:complete|completed)
  | image_(?:generation|edit)\.completed | transcript\.text\.done | speech\.audio\.done
  | thread\.run\.(?:completed|failed|cancelled|expired|incomplete|requires_action)
)"""

_LAST_WORD = re.compile(
    rb"""
        data:\s?\[DONE\]
      | event:\s?%(names)s\s*$
      | data:\s?\{"(?:type|event_type)":\s?"%(names)s"
      | data:\s?\{"error":\s?[^n]
    """
    % {b"names": _NAMES},
    re.VERBOSE,
)

_ARRAY_STOP = re.compile(rb'\s*"finishReason":\s?"(?!FINISH_REASON_UNSPECIFIED)')
"""Gemini without ``alt=sse``: an array whose members are indented over lines."""

_ARRAY_LINES: Final = 64

_UNSAID: Final = (None, "", "null", "FINISH_REASON_UNSPECIFIED")
"""Values of a choice that goes on; Alibaba writes the word ``null``."""


_MARKED_BYTES: Final = 64 << 10


class _Ending(msgspec.Struct):
    """A choice or candidate, or the delta of Anthropic's ``message_delta``."""

    index: Any = None
    finish_reason: Any = None
    gemini_reason: Any = msgspec.field(default=None, name="finishReason")
    stop_reason: Any = None

    def is_over(self) -> bool:
        said = (self.finish_reason, self.gemini_reason, self.stop_reason)
        return any(one not in _UNSAID for one in said)


class _Event(msgspec.Struct):
    """Members of an event that say that nothing more is to come."""

    type: Any = None
    event_type: Any = None
    delta: Any = None
    choices: list[_Ending] | None = None
    candidates: list[_Ending] | None = None
    output: Any = None
    done: Any = None
    is_finished: Any = None
    stop_reason: Any = None
    titan_reason: Any = msgspec.field(default=None, name="completionReason")
    message_stop: Any = msgspec.field(default=None, name="messageStop")
    generated_text: Any = None
    metrics: Any = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")

    def said(self) -> tuple[Any, ...]:
        """Return the members of which any value ends the stream."""
        return (
            self.titan_reason,
            self.message_stop,
            self.metrics,
            self.stop_reason,
            self.generated_text,
            self.done is True or None,
            self.is_finished is True or None,
        )


_decode = msgspec.json.Decoder(_Event).decode


def is_complete(stream: bytes) -> bool:
    r"""Return whether a stream that was closed early contains its final event.

    >>> is_complete(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n')
    True
    """
    lines = [line.strip() for line in stream.rsplit(b"\n", LAST_LINES)]
    if any(_LAST_WORD.match(line) for line in lines):
        return True
    open_choices: set[Any] = set()
    closed_choices: set[Any] = set()
    for event in filter(None, map(_event, lines)):
        if _is_last(event):
            return True
        for choice in _choices(event):
            (closed_choices if choice.is_over() else open_choices).add(choice.index)
    if closed_choices:
        return open_choices <= closed_choices  # of several choices all have to be over
    return stream.lstrip()[:1] == b"[" and any(map(_ARRAY_STOP.match, stream.rsplit(b"\n", _ARRAY_LINES)))


def may_be_last(piece: bytes) -> bool:
    """Return whether a piece of a stream, as it came, has the last word of a usual stream."""
    end = piece[-_MARKED_BYTES:]
    # The ends of names and their first quotation mark; most pieces have none, and cost a microsecond.
    is_marked = b'eason":"' in end or b'eason": "' in end or b"omplete" in end or b"message-end" in end
    return is_marked and is_complete(end)


def _event(line: bytes) -> _Event | None:
    data = line.removeprefix(b"data:").lstrip()
    if not data.startswith(b"{") or len(data) > LONGEST_BYTES:
        return None
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def _is_last(event: _Event) -> bool:
    if event.type == "message_delta" and isinstance(event.delta, dict):
        return event.delta.get("stop_reason") not in _UNSAID
    return any(one not in _UNSAID for one in event.said())


def _choices(event: _Event) -> list[_Ending]:
    output = event.output if isinstance(event.output, dict) else {}
    found = [*(event.choices or ()), *(event.candidates or ())]
    if output.get("finish_reason") not in _UNSAID:
        found.append(_Ending(finish_reason=output["finish_reason"]))
    within = [one for one in output.get("choices") or () if isinstance(one, dict)]
    return found + [_Ending(index=one.get("index"), finish_reason=one.get("finish_reason")) for one in within]
