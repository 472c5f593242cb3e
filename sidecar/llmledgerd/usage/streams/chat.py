"""Streams of Chat Completions and of Completions, made whole.

Invariant: the object has the fields of a non-streamed answer: each choice a ``message`` (or ``text``)
in place of its deltas, and the last usage that was an object. A count is final when every choice that began
has ended.

Sources: OpenAI API reference, "The chat completion chunk object" (``stream_options``: the last chunk
has empty ``choices`` and the usage); Groq API reference (``x_groq``); Mistral API docs, "Chat".
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import Raw

from llmledgerd.usage.decode import NULL, value
from llmledgerd.usage.streams.assembled import Whole, add_text, encoded, inside, merge
from llmledgerd.usage.streams.coalesce import Runs, null, one_of, strict, text_field
from llmledgerd.usage.streams.merging import text_pattern
from llmledgerd.usage.streams.sse import Events

PADDING = frozenset({"obfuscation", "p"})
"""OpenAI's and Mistral's filler against traffic analysis; no part of the answer."""

TEXTS = ("content", "reasoning_content", "reasoning")
"""A message's texts; a delta of one has the others null, if at all."""

NULLS = ("refusal", "function_call", "audio", "tool_calls")
ENDS = null("finish_reason", "logprobs", "stop_reason")


def _middle(choice: Any) -> type[msgspec.Struct]:
    """Return a chunk from the middle of a stream, whose other members repeat those of the first.

    One choice, the first: streams of several choices are read chunk by chunk.
    """
    fields: list[Any] = [("choices", one_of(choice)), ("usage", Raw, NULL), *null("error")]
    return msgspec.defstruct("Middle", fields, gc=False)


def _choice(*fields: Any) -> type[msgspec.Struct]:
    return strict("Choice", *fields, ("index", Literal[0], 0), *ENDS)


def _chat(name: str) -> tuple[Any, Any]:
    """Return the shape of chunks that go on with one of a message's texts, and what joins them."""
    others = null(*(set(TEXTS) - {name}), *NULLS)
    delta = strict("Delta", text_field(name), ("role", str | None, None), *others)

    def join(found: list[Any]) -> dict[str, Any]:
        role = found[0].choices[0].delta.role
        text = "".join([one.choices[0].delta.piece for one in found])
        return _chunk(found, delta={name: text, **({"role": role} if role else {})})

    return _middle(_choice(("delta", delta))), join


def _azure() -> tuple[Any, Any]:
    """Return the same for Azure's content, where every chunk has the results of its filters."""
    delta = strict("Delta", text_field("content"), *null("refusal"))
    shape = _middle(_choice(("delta", delta), ("content_filter_results", Raw)))

    def join(found: list[Any]) -> dict[str, Any]:
        raws = [one.choices[0].content_filter_results for one in found]
        results: dict[str, Any] = {}
        for raw, before in zip(raws, [None, *raws], strict=False):
            if raw != before and isinstance(changed := value(raw), dict):
                results.update(changed)
        text = "".join([one.choices[0].delta.piece for one in found])
        return _chunk(found, delta={"content": text}, content_filter_results=results)

    return shape, join


def _completions() -> tuple[Any, Any]:
    """Return the same for Completions."""

    def join(found: list[Any]) -> dict[str, Any]:
        return _chunk(found, text="".join([one.choices[0].piece for one in found]))

    return _middle(_choice(text_field("text"))), join


def _calls() -> tuple[Any, Any]:
    """Return the same for the arguments of one tool call that is known already."""
    function = strict("Function", text_field("arguments"), *null("name"))
    call = strict("Call", ("function", function), ("index", int), ("type", str | None, None), *null("id"))
    delta = strict("Delta", ("tool_calls", one_of(call)), *null("content", "role"))

    def join(found: list[Any]) -> dict[str, Any] | None:
        calls = [one.choices[0].delta.tool_calls[0] for one in found]
        if len({call.index for call in calls}) > 1:
            return None
        arguments = "".join([call.function.piece for call in calls])
        return _chunk(
            found, delta={"tool_calls": [{"index": calls[0].index, "function": {"arguments": arguments}}]}
        )

    return _middle(_choice(("delta", delta))), join


def _chunk(found: list[Any], **choice: Any) -> dict[str, Any]:
    """Return the chunk that stands for a run, with the last usage that any of it reports."""
    usage = next((one.usage for one in reversed(found) if one.usage != NULL), NULL)
    return {"choices": [choice], "usage": value(usage)}


TEXT = text_pattern(*TEXTS, "arguments", "text")
FILLER = re.compile(rf', ?"(?:{"|".join(sorted(PADDING))})": ?"[^"\\]*"(?=\}}(?:\n|\Z))')
"""The same as the last member of a chunk."""

MORE_TEXT = Runs(
    *map(_chat, TEXTS),
    _azure(),
    _calls(),
    _completions(),
    text=TEXT,
    filler=FILLER,
)


class Chunks:
    """The answer so far."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._unfinished: set[int] = set()
        self._usage: dict[str, Any] = {}
        self._usage_is_final = False
        self._is_beside_choices = False

    def take(self, chunk: Any) -> None:
        """Add one chunk; what is no object adds nothing."""
        if not isinstance(chunk, dict):
            return
        choices = chunk.pop("choices", None)
        choices = choices if isinstance(choices, list) else []
        usage = _usage_of(chunk, choices)
        for choice in choices:
            if isinstance(choice, dict):
                self._take_choice(choice)
        self._take_root(chunk)
        if usage:
            self._usage, self._usage_is_final = usage, self._is_finished()
            self._is_beside_choices = bool(choices)

    def _is_finished(self) -> bool:
        """Whether every choice that began has ended; of several, one may end long before the others."""
        return bool(self._choices) and not self._unfinished

    def _take_root(self, chunk: dict[str, Any]) -> None:
        root = self._root
        for name, field in chunk.items():
            if (field or (field is not None and name not in root)) and name not in PADDING:
                root[name] = field

    def _take_choice(self, choice: dict[str, Any]) -> None:
        index = choice.pop("index", 0)
        index = index if isinstance(index, int) else 0
        if index not in self._choices:
            self._unfinished.add(index)
        so_far = self._choices.setdefault(index, {"index": index})
        delta, message = choice.pop("delta", None), choice.pop("message", None)
        delta = delta if isinstance(delta, dict) else message  # Writer sends every delta twice
        if isinstance(delta, dict):
            merge(inside(so_far, "message"), delta)
        finish = choice.pop("finish_reason", None)
        if finish is not None or "finish_reason" not in so_far:
            so_far["finish_reason"] = finish
            if finish is not None:
                self._unfinished.discard(index)
        choice.pop("usage", None)
        logprobs = choice.pop("logprobs", None)
        if isinstance(logprobs, dict):
            _extend(so_far, logprobs)
        for name, field in choice.items():
            _set(so_far, name, field)

    def whole(self, *, is_done: bool) -> Whole:
        """Return the answer that the chunks so far make up."""
        choices = [_without_indexes(self._choices[index]) for index in sorted(self._choices)]
        root = {**self._root, "choices": choices}
        if isinstance(kind := root.get("object"), str):
            root["object"] = kind.removesuffix(".chunk").removesuffix(".done")  # the last is Perplexity's
        if self._usage:
            root["usage"] = self._usage
        return Whole(
            response=encoded(root),
            complete=is_done or self._is_finished(),
            usage_is_final=is_done or self._usage_is_final,
            choices_may_follow=self._is_beside_choices and not is_done,
        )


def assemble(events: Events) -> Whole:
    """Return the answer that the events make up."""
    chunks = Chunks()
    for chunk in MORE_TEXT.shortened(events):
        chunks.take(chunk)
    return chunks.whole(is_done=events.is_done)


def _usage_of(chunk: dict[str, Any], choices: list[Any]) -> dict[str, Any]:
    """Return a chunk's usage: its own, Groq's ``x_groq.usage``, a choice's; {} where it has none."""
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        return usage
    holders = [chunk["x_groq"], *choices] if "x_groq" in chunk else choices
    for holder in holders:
        if isinstance(holder, dict) and isinstance(usage := holder.get("usage"), dict):
            return usage
    return {}


def _set(so_far: dict[str, Any], name: str, field: Any) -> None:
    """Set a choice's other members: ``text`` goes on, results are updated, the rest is replaced."""
    old = so_far.get(name)
    if name == "text" and isinstance(field, str):
        add_text(so_far, name, field)
    elif isinstance(old, dict) and isinstance(field, dict):
        old.update(field)
    elif field is not None or name not in so_far:
        so_far[name] = field


def _extend(so_far: dict[str, Any], logprobs: dict[str, Any]) -> None:
    """Put a chunk's lists of log probabilities behind those before."""
    into = inside(so_far, "logprobs")
    for name, listed in logprobs.items():
        if isinstance(listed, list) and isinstance(into.get(name), list):
            into[name].extend(listed)
        elif listed is not None or name not in into:
            into[name] = listed


def _without_indexes(choice: dict[str, Any]) -> dict[str, Any]:
    """Drop the indexes of the tool calls, which only deltas have."""
    message = choice.get("message")
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            call.pop("index", None)
    return choice
