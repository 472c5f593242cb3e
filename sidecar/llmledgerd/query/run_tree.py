"""Tree of a run's calls, from the turns that they are and the turns that they continue. Pure.

Invariants:
- A call's parent starts no later than the call, so that no chain of parents has a loop, whatever the turns say.
- The work is linear in the number of calls, for any turns.
- Retries are no forks: a failed call opens no branch, and calls of one turn are one step of the chain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

Kind = Literal["root", "next", "fork", "sub_agent"]

UNKNOWN: Final = ("", 0)
"""Turns and conversations that are not known: as the columns have them, and as hashes."""

RETRIES: Final = 20
"""Calls of one turn among which a parent is chosen."""


class Link(msgspec.Struct, frozen=True, gc=False):
    """What the tree needs of one call. Turns and conversations are texts or hashes of them."""

    turn: Hashable
    parent: Hashable
    conversation: Hashable
    start_us: int
    end_us: int
    is_error: bool | int = False
    names: Sequence[Hashable] = ()
    """Other names of the turn, by which calls may continue it."""
    openings: Sequence[Hashable] = ()
    """What a call that continues no turn was asked: names of the call that started it, where one has them."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Place of one call in its run's tree."""

    parent: int | None
    """Index of the call that it continues; of a sub-agent, of the call that was last before it began."""
    kind: Kind
    """``root``; ``next`` continues its parent; ``fork`` continues a call that another one continued before;
    ``sub_agent`` is the first call of another conversation, below the call whose tools started it."""
    level: int
    """Number of forks and sub-agents on its chain of parents."""
    depth: int
    """Number of turns on its chain of parents, itself included."""


class Shape(msgspec.Struct, frozen=True):
    """Figures of a tree."""

    depth: int
    forks: int
    sub_agents: int


def places(links: Sequence[Link]) -> list[Place]:
    """Return the place of each call; ``links`` are in the order of their start."""
    pauses = _pauses(links)
    latest = {link.conversation: link.start_us for link in links}
    calls_of: dict[Hashable, list[int]] = {}
    continued: dict[int, Hashable] = {}
    found: list[Place] = []
    for number, link in enumerate(links):
        parent = _bearer(links, calls_of, [link.parent], link)
        kind: Kind = "next"
        if parent is None and link.parent in UNKNOWN:
            parent = _bearer(links, calls_of, link.openings, link)
            if parent is None:
                parent = pauses.get(number)
            # Where the other conversation goes on, it waited for this one; otherwise it was compacted into it.
            waits = parent is not None and latest[links[parent].conversation] > link.start_us
            kind = "root" if parent is None else "sub_agent" if waits else "next"
        elif parent is None:
            kind = "root"
        if kind == "next" and parent is not None and not link.is_error:
            first = continued.setdefault(_turn(links, calls_of, parent), link.turn)
            kind = "next" if first == link.turn else "fork"
        above = None if parent is None else found[parent]
        level = 0 if above is None else above.level + (kind != "next")
        found.append(Place(parent, kind, level, 1 if above is None else above.depth + 1))
        for name in (link.turn, *link.names):
            if name not in UNKNOWN:
                calls_of.setdefault(name, []).append(number)
    return found


def shape(found: Sequence[Place]) -> Shape:
    """Return the figures of a tree."""
    return Shape(
        depth=max((place.depth for place in found), default=0),
        forks=sum(place.kind == "fork" for place in found),
        sub_agents=sum(place.kind == "sub_agent" for place in found),
    )


def outline(parents: Sequence[int | None], kinds: Sequence[str]) -> Iterator[int]:
    """Yield the indexes in the tree's order: below each call its sub-agents and forks, then what continues it."""
    below: dict[int | None, list[int]] = defaultdict(list)
    for number, parent in enumerate(parents):
        below[parent].append(number)
    waiting = below[None][::-1]
    while waiting:
        number = waiting.pop()
        yield number
        waiting += sorted(below.pop(number, []), key=lambda one: (kinds[one] != "next", -one))


def _bearer(
    links: Sequence[Link], calls_of: Mapping[Hashable, Sequence[int]], names: Sequence[Hashable], link: Link
) -> int | None:
    """Return the call that bears the first of the names that any call bears: of several, the last that had ended,
    a successful one first.
    """
    for name in names:
        bearing = calls_of.get(name, ())
        for number in bearing if len(bearing) < 2 else _preferred(links, bearing[-RETRIES:], link.start_us):
            if links[number].turn != link.turn or name == link.parent:
                return number
    return None


def _preferred(links: Sequence[Link], bearing: Sequence[int], start_us: int) -> Sequence[int]:
    """Return the calls of one turn that one which starts then may continue, the likeliest first."""
    latest = bearing[::-1]
    good = [number for number in latest if not links[number].is_error]
    return [number for number in good if links[number].end_us <= start_us] or good or latest


def _turn(links: Sequence[Link], calls_of: Mapping[Hashable, Sequence[int]], number: int) -> int:
    """Return the number of the first call of a call's turn."""
    return calls_of.get(links[number].turn, (number,))[0]


def _pauses(links: Sequence[Link]) -> dict[int, int]:
    """Return the call after which another conversation began, by the number of that conversation's first call.

    A conversation that begins after a call of another one has ended and before that one goes on was started
    by that call's tools. Where several wait, the one that began to wait last is meant.
    """
    following: dict[int, int] = {}
    firsts: set[int] = set()
    last: dict[Hashable, int] = {}
    for number, link in enumerate(links):
        if link.conversation in UNKNOWN:
            continue
        before = last.get(link.conversation)
        if before is None:
            firsts.add(number)
        else:
            following[before] = number
        last[link.conversation] = number
    if len(firsts) < 2:
        return {}
    events = sorted(
        [
            (links[one].end_us, 1, one)
            for one, then in following.items()
            if links[one].end_us <= links[then].start_us
        ]
        + [(links[then].start_us, 0, one) for one, then in following.items()]
        + [(links[one].start_us, 2, one) for one in firsts]
    )
    pauses: dict[int, None] = {}
    found: dict[int, int] = {}
    for _, what, number in events:
        if what == 0:
            pauses.pop(number, None)
        elif what == 1:
            pauses[number] = None
        elif pauses:
            found[number] = next(reversed(pauses))
    return found
