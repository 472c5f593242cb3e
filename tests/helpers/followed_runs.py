"""The rule by which readers follow names of turns to the calls that bear them, as plainly as it can be said. Pure.

Invariant: a call belongs to one run, whatever the order of the calls; a name that no call bears changes nothing, so
that calls that were erased or never recorded cost only themselves. A name's bearer is a call that was there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

LATEST_OPENING_US: Final = 24 * 3600 * 1_000_000
"""A call that continues no turn comes from one that was made no longer before than this."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """The columns of a call that tell what it continues."""

    organization_id: str
    conversation_id: str
    turn_id: str
    parent_turn_id: str
    turn_names: Sequence[str] = ()
    opening_names: Sequence[str] = ()
    created_us: int = 0


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a call stands: numbers of calls in the sequence that was given; -1 where there is none."""

    run: int
    """The first call of its run."""
    parent: int
    """The call that it continues."""
    origin: int = -1
    """Of a call that continues none: the call that started it (a sub-agent's), was compacted into it, or was an
    attempt of it without an answer."""


def places(steps: Sequence[Step]) -> list[Place]:
    """Return the place of each call. The calls are in the order of their time."""
    bearers, runs = _Bearers(), _Runs(len(steps))
    found: list[tuple[int, int]] = []
    conversations: dict[tuple[str, str], int] = {}
    for number, step in enumerate(steps):
        parent = bearers.of(step.organization_id, [step.parent_turn_id], step.conversation_id)
        origin = -1 if step.parent_turn_id else _origin(steps, bearers, step)
        conversation = (step.organization_id, step.conversation_id)
        named = bearers.of(*conversation[:1], [step.conversation_id])
        joined = -1 if bearers.is_shared(step.organization_id, step.parent_turn_id) else parent
        for other in (joined, origin, named, conversations.setdefault(conversation, number)):
            if other >= 0 and step.conversation_id:
                runs.join(number, other)
        found.append((parent, origin))
        bearers.add(number, step)
    return [Place(runs.first(number), *one) for number, one in enumerate(found)]


def _origin(steps: Sequence[Step], bearers: _Bearers, step: Step) -> int:
    found = bearers.of(step.organization_id, step.opening_names)
    is_late = found >= 0 and step.created_us - steps[found].created_us > LATEST_OPENING_US
    return -1 if is_late or (found >= 0 and steps[found].turn_id == step.turn_id) else found


class _Bearers:
    """The calls that bear each name: before all one of the same conversation, then one whose ``turn_id`` it is; of
    several the last."""

    def __init__(self) -> None:
        self._near: dict[tuple[str, str, str], int] = {}
        self._own: dict[tuple[str, str], int] = {}
        self._further: dict[tuple[str, str], int] = {}
        self._alone: dict[tuple[str, str], set[str]] = {}

    def add(self, number: int, step: Step) -> None:
        if not step.parent_turn_id and step.conversation_id != step.turn_id:
            self._alone.setdefault((step.organization_id, step.turn_id), set()).add(step.conversation_id)
        if step.turn_id:
            self._own[step.organization_id, step.turn_id] = number
            self._near[step.organization_id, step.conversation_id, step.turn_id] = number
        for name in step.turn_names:
            self._further[step.organization_id, name] = number

    def is_shared(self, organization: str, name: str) -> bool:
        """Whether several conversations begin with a turn of this name, so that it tells none of them."""
        return len(self._alone.get((organization, name), ())) > 1

    def of(self, organization: str, names: Iterable[str], conversation: str = "") -> int:
        """Return the number of the call that bears the first of the names that any bears; -1 if none does."""
        for name in names:
            if name:
                found = self._near.get((organization, conversation, name), -1)
                if found < 0:
                    found = self._own.get((organization, name), self._further.get((organization, name), -1))
                if found >= 0:
                    return found
        return -1


class _Runs:
    """Sets of calls that are joined; each is known by its first."""

    def __init__(self, size: int) -> None:
        self._before = list(range(size))

    def first(self, number: int) -> int:
        while self._before[number] != number:
            self._before[number] = self._before[self._before[number]]
            number = self._before[number]
        return number

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.first(one), self.first(other)))
        self._before[second] = first
