"""Which call continues which: the names of a call's own turn, of the turn before it, and of its conversation. Pure.

Invariant: everything follows from one call's bytes and its organization, so that the same line always has the same
ids, and no organization's id is another's. A turn has the same name in the answer that it is and in every request
that sends it back, whatever SDKs change between: fields that they add or leave out, the spelling of arguments, one
text or a list of them, thinking that is not sent back, and what stands around it (prompts with a clock, other
tools, moved marks, a history that was cut).

A turn's name is, in this order:

1. the least of its calls' ids, where providers made them (Chat Completions ``tool_calls[].id``, Responses
   ``call_id``, Messages ``tool_use.id``, Converse ``toolUseId``);
2. the answer's own id, where the next request can only give that one (Responses ``previous_response_id``);
3. its content and, unless that is prose of some length, what was said right before it, without the times in it; and
   how many equal turns precede it, since agents that wait ask the same again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from llmledgerd.conversations import handed, parts, sayings
from llmledgerd.conversations.parts import Answer, Part, Request
from llmledgerd.conversations.values import scoped, seed_of

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


def identity_of(request: Request, answer: Answer, organization: str) -> Identity:
    """Return a call's identity; empty for a call that is no part of a conversation. Never raises."""
    if not (request.messages or request.previous or answer.alternatives):
        return UNKNOWN
    try:
        return _Call(request, answer, seed_of(organization)).identity()
    except Exception:  # noqa: BLE001 - the outer edge: a payload may cost its identity, never its row
        return UNKNOWN


class _Call:
    """One call, while its names are found."""

    def __init__(self, request: Request, answer: Answer, seed: int) -> None:
        self._request = request
        self._answer = answer
        self._seed = seed
        self._history = sayings.History(request.messages)

    def identity(self) -> Identity:
        first, parent = self._before()
        own = self._turn()
        kept = self._request.conversation or self._answer.conversation
        conversation = scoped(self._seed, "conversation", kept) if kept else first or own
        return Identity(
            conversation_id=conversation,
            turn_id=own,
            parent_turn_id=parent,
            turn_names=self._further_names(own),
            opening_names=[] if parent else handed.opening(self._seed, self._history.after),
        )

    def _before(self) -> tuple[str, str]:
        """Return the names of the first turn that the request knows of, and of the last; "" without any."""
        history = self._history
        answered = sayings.provided_ids([part for part in history.after if part.kind == parts.RESULT])
        last = ""
        if history.turns:
            last = self._name_in_history(len(history.turns) - 1)
        elif answered:
            last = self._by_call(min(answered))
        if self._request.previous:
            previous = scoped(self._seed, "response", self._request.previous)
            return (last or previous) if answered else previous, last or previous
        return self._name_in_history(0) if history.turns else last, last

    def _turn(self) -> str:
        """Return the name of the call's own turn."""
        said, request = self._answer.parts, self._request
        if ids := sayings.provided_ids(said):
            return self._by_call(min(ids))
        is_kept = request.previous or request.is_kept or (request.is_plain and request.is_kept is not False)
        if is_kept and self._answer.id:
            return scoped(self._seed, "response", self._answer.id)
        return self._by_content(said) or scoped(
            self._seed, "request", *(part.hash for part in request.messages), request.previous
        )

    def _name_in_history(self, number: int) -> str:
        turn = self._history.turns[number]
        if ids := sayings.provided_ids(turn):
            return self._by_call(min(ids))
        references = [part.id for part in turn if part.kind == parts.REFERENCE and part.id]
        if references:
            return scoped(self._seed, "item", references[-1])
        return scoped(self._seed, "content", *self._history.key(number))

    def _by_call(self, call_id: str) -> str:
        return scoped(self._seed, "call", call_id)

    def _by_content(self, said: list[Part]) -> str:
        key = self._history.next_key(said)
        return scoped(self._seed, "content", *key) if key else ""

    def _further_names(self, own: str) -> list[str]:
        request, answer, said = self._request, self._answer, self._answer.parts
        found: list[str] = []
        if answer.id and request.is_input and request.is_kept is not False:
            found.append(scoped(self._seed, "response", answer.id))
        ids = sayings.provided_ids(said)
        if len(ids) > 1:
            found += [self._by_call(one) for one in sorted(ids)[1:]]
        if request.is_input:
            found += [scoped(self._seed, "item", one) for one in [part.id for part in said if part.id][-1:]]
            found += [] if ids else [self._by_content(said)]
        for alternative in answer.alternatives[1:]:
            others = sayings.provided_ids(alternative)
            found.append(self._by_call(min(others)) if others else self._by_content(alternative))
        found += handed.on(self._seed, said, self._history.after)
        unique = dict.fromkeys(name for name in found if name and name != own)
        return list(unique)[:MOST_NAMES]
