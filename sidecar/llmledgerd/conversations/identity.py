"""Which call continues which: the names of a call's own turn, of the turn before it, and of its conversation. Pure.

Invariant: everything follows from one call's bytes and its organization, so that the same line always has the same
ids, and no organization's id is another's. A turn has the same name in the answer that it is and in every request
that sends it back, whatever SDKs change between: fields that they add or leave out, the spelling of arguments, one
text or a list of them, thinking that is not sent back, and what stands around it (prompts with a clock, other
tools, moved marks, a history that was cut).

A turn's name is, in this order:

1. the first of its calls' ids, where providers made them (Chat Completions ``tool_calls[].id``, Responses
   ``call_id``, Messages ``tool_use.id``, Converse ``toolUseId``);
2. the answer's own id, where the next request can only give that one (Responses ``previous_response_id``);
3. its content and, unless that is prose of some length, the content of the turn before it (of the first: what it was
   asked, without the times in it); and how many equal turns precede it, since agents that wait ask the same again.

A conversation is named after its first turn. Where that is like others' ("Hello", and a greeting), it is named after
all that was said until it was not; its first call is then alone, and its time tells it from others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from llmledgerd.conversations import handed, parts, sayings
from llmledgerd.conversations.parts import Answer, Part, Request
from llmledgerd.conversations.provided_ids import provided_ids
from llmledgerd.conversations.values import scoped, scoped_bytes, seed_of

ATTEMPT_US: Final = 60_000_000
"""A call that begins no later than twice this after another ended without an answer may be its next attempt."""

MOST_NAMES: Final = 12
"""Limit of a row's further names."""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The columns of the same names."""

    conversation_id: str = ""
    turn_id: str = ""
    parent_turn_id: str = ""
    turn_names: list[str] = []
    opening_names: list[str] = []


UNKNOWN: Final = Identity()


def identity_of(
    request: Request, answer: Answer, organization: str, started_us: int = 0, ended_us: int = 0
) -> Identity:
    """Return a call's identity; empty for a call that is no part of a conversation.

    The times tell only whether a call that continues none is the next attempt of one that got no answer: equal
    prompts are sent by many.
    """
    kept = request.conversation or answer.conversation
    if not (request.messages or request.previous or answer.alternatives or kept):
        return UNKNOWN
    return _Call(request, answer, seed_of(organization), (started_us, ended_us)).identity()


class _Call:
    """One call, while its names are found."""

    def __init__(self, request: Request, answer: Answer, seed: int, times: tuple[int, int]) -> None:
        self._times = times
        self._request = request
        self._answer = answer
        self._said = answer.parts
        self._seed = seed
        self._history = sayings.History(request.messages, request.known, request.notes)
        self._ids = [] if sayings.is_text(self._said) else provided_ids(self._said)

    def identity(self) -> Identity:
        first, parent = self._before()
        own = self._turn(parent)
        conversation = self._conversation(first, own)
        opening = [] if parent else self._opening_names(own)
        return Identity(conversation, own, parent, self._further_names(own), opening)

    def _conversation(self, first: str, own: str) -> str:
        if kept := self._request.conversation or self._answer.conversation:
            return scoped(self._seed, "conversation", kept)
        if self._request.previous or self._ids or not self._history.begins_like_others(self._said):
            return first or own
        if told := self._history.beginning(self._said):
            return scoped(self._seed, "beginning", told)
        return scoped(self._seed, "alone", own, self._times[0])

    def _before(self) -> tuple[str, str]:
        """Return the names of the first turn that the request knows of, and of the last; "" without any."""
        history = self._history
        answered = [] if history.last else provided_ids(history.after)
        last = ""
        if history.last:
            last = self._name(history.last, history.last_key)
        elif answered:
            last = self._by_call(answered[0])
        if self._request.previous:
            previous = scoped(self._seed, "response", self._request.previous)
            return (last or previous) if answered else previous, last or previous
        if history.first is None or history.first is history.last:
            return last, last
        return self._name(history.first, history.first_key), last

    def _turn(self, parent: str) -> str:
        """Return the name of the call's own turn."""
        said, request = self._said, self._request
        if self._ids:
            return self._by_call(self._ids[0])
        is_kept = request.previous or request.is_kept or (request.is_plain and request.is_kept is not False)
        if self._answer.id and (is_kept or not (said or request.messages)):
            return scoped(self._seed, "response", self._answer.id)
        return self._by_content(said) or self._by_request(parent, self._times[1])

    def _by_request(self, parent: str, time_us: int) -> str:
        """Return the name of a turn that got no answer: attempts of one call share it."""
        time = 0 if parent else time_us // ATTEMPT_US
        return scoped_bytes(self._seed, f"request\0{parent}\0{self._history.asked()}\0{time}".encode())

    def _opening_names(self, own: str) -> list[str]:
        """Return what a call was asked that continues no turn; first, what an attempt without an answer is named."""
        started_us = self._times[0]
        attempts = [self._by_request("", time_us) for time_us in (started_us, started_us - ATTEMPT_US)]
        found = handed.opening(self._seed, self._history.after)
        return [name for name in attempts if name != own] + found

    def _name(self, turn: sayings.Turn, key: Callable[[], sayings.Key]) -> str:
        """Return the name of a turn of the history."""
        if sayings.is_text(turn.said):
            return self._by_key(key())
        if ids := provided_ids(turn.said):
            return self._by_call(ids[0])
        references = [part.id for part in turn.said if part.kind == parts.REFERENCE and part.id]
        if references:
            return scoped(self._seed, "item", references[-1])
        return self._by_key(key())

    def _by_call(self, call_id: str) -> str:
        return scoped(self._seed, "call", call_id)

    def _by_content(self, said: list[Part]) -> str:
        key = self._history.next_key(said)
        return self._by_key(key) if key else ""

    def _by_key(self, key: sayings.Key) -> str:
        content, before, equal = key
        return scoped_bytes(self._seed, f"content\0{content}\0{before}\0{equal}".encode())

    def _further_names(self, own: str) -> list[str]:
        request, answer, said = self._request, self._answer, self._said
        found = handed.on(self._seed, said, self._history.after)
        if len(self._ids) > 1:
            found = [*map(self._by_call, self._ids[1:]), *found]
        if request.is_input:
            found = [*self._kept_names(said), *found]
        if len(answer.alternatives) > 1:
            for alternative in answer.alternatives[1:]:
                others = provided_ids(alternative)
                found.append(self._by_call(others[0]) if others else self._by_content(alternative))
        if not found:
            return found
        return list(dict.fromkeys([name for name in found if name and name != own]))[:MOST_NAMES]

    def _kept_names(self, said: list[Part]) -> list[str]:
        """Return the names of an answer that the provider may keep, however the next request sends it back."""
        found = [scoped(self._seed, "item", one) for one in [part.id for part in said if part.id][-1:]]
        if self._answer.id and self._request.is_kept is not False:
            found.append(scoped(self._seed, "response", self._answer.id))
        return found if self._ids else [*found, self._by_content(said)]
