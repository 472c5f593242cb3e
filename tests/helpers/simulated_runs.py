"""Runs of made-up agents, with the truth of who continues whom: what tells whether ids from bytes are right.

Knows nothing of the daemon. Everything follows from the seed.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.helpers.simulated_apis import APIS, WITHOUT_IDS, Api, Body, Called, Said, Style

WORDS = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "program",
    "question",
    "work",
    "government",
    "number",
    "night",
    "point",
    "home",
    "water",
    "room",
    "mother",
    "area",
    "money",
    "story",
    "fact",
    "month",
    "lot",
    "right",
    "study",
    "book",
    "eye",
    "job",
    "word",
    "business",
    "issue",
    "side",
    "kind",
    "head",
    "house",
    "service",
    "friend",
    "father",
    "power",
    "hour",
    "game",
    "line",
    "end",
    "member",
    "law",
    "car",
    "city",
    "community",
    "name",
    "president",
    "team",
    "minute",
    "idea",
    "body",
    "information",
    "back",
    "parent",
    "face",
    "others",
    "level",
    "office",
    "door",
    "health",
    "person",
    "art",
    "war",
    "history",
    "party",
    "result",
    "change",
    "morning",
]
OPENINGS = ("Let me look at that.", "I'll start by reading the files.", "Sure.", "OK.", "")


@dataclass
class Call:
    """A call as it was sent, and what is true of it."""

    request: Body
    response: Body | None
    run: int
    parents: frozenset[int]
    """Numbers of the calls that it may be said to continue: attempts of one call; empty: it continues none."""
    kind: str
    api: str
    is_sub_agent: bool = False


@dataclass
class World:
    """All calls so far."""

    rng: random.Random
    calls: list[Call] = field(default_factory=list)
    runs: int = 0

    def words(self, least: int, most: int) -> str:
        return " ".join(self.rng.choices(WORDS, k=self.rng.randint(least, most)))

    def prose(self, least: int, most: int) -> str:
        said = [self.words(6, 18).capitalize() + "." for _ in range(self.rng.randint(least, most))]
        return " ".join(said)


class Agent:
    """One conversation: its history, and how its application sends it."""

    def __init__(
        self, world: World, kind: str, api: str = "", *, has_ids: bool = True, run: int = -1
    ) -> None:
        rng = world.rng
        self.world, self.kind, self.run = world, kind, run
        if run < 0:
            self.run, world.runs = world.runs, world.runs + 1
        self.name = api or rng.choice(list(APIS) if has_ids else WITHOUT_IDS)
        self.api: Api = APIS[self.name]()
        self.style = Style.any(rng, has_ids=has_ids)
        self.system = world.prose(1, 4)
        self.tools = ["search", "read_file", "run"]
        self.history: list[Said] = []
        self.last: frozenset[int] = frozenset()
        self.previous = ""
        self.clock = self.user_clock = False
        self.shown: Callable[[list[Said]], list[Said]] = lambda history: history
        self.is_sub_agent = False

    def fork(self) -> Agent:
        """Return the same conversation, to go on in another way."""
        other = copy.copy(self)
        other.history = list(self.history)
        return other

    def asks(self, text: str) -> None:
        self.history.append(Said("user", text))

    def returns(self, texts: list[str]) -> None:
        calls = self.history[-1].calls
        self.history.append(Said("tool", results=list(zip(calls, texts, strict=True))))

    def sends(self, answer: Said | None, *, counts: bool = True) -> int:
        """Send the history; ``counts``: the answer becomes a part of it."""
        world = self.world
        world.rng.random()
        now = (
            f"2026-11-{world.rng.randint(10, 28)} {world.rng.randint(10, 23)}:{world.rng.randint(10, 59)}:07"
        )
        system = f"{self.system} It is {now}." if self.clock else self.system
        sent = self.shown(self.history)
        if self.user_clock:
            sent = [Said("user", f"Now: {now}\n{sent[0].text}"), *sent[1:]]
        request = self.api.request(self.style, system, self.tools, sent, self.previous)
        response = None
        if answer is not None:
            answer.id = "".join(world.rng.choices("0123456789abcdef", k=32))
            response = self.api.answer(self.style, answer)
        number = len(world.calls)
        world.calls.append(
            Call(request, response, self.run, self.last, self.kind, self.name, self.is_sub_agent)
        )
        if answer is not None and counts:
            self.history.append(answer)
            self.last = frozenset({number})
            self.previous = str((response or {}).get("id", ""))
        return number

    def answer(self, text: str = "") -> Said:
        rng = self.world.rng
        thinking = self.world.words(3, 9) if rng.random() < 0.3 else ""
        return Said("assistant", text or self.world.prose(2, 6), thinking=thinking)

    def tool_turn(self, calls: int = 1, text: str | None = None) -> Said:
        rng, world = self.world.rng, self.world
        made = [
            Called(
                rng.choice(self.tools),
                {"q": world.words(1, 4), "limit": rng.randint(1, 50)},
                self.style.id(self.api.prefix),
            )
            for _ in range(calls)
        ]
        said = self.answer(rng.choice(OPENINGS) if text is None else text)
        said.text = said.text if said.text in OPENINGS or text else ""
        said.calls = made
        return said

    def step(self, calls: int = 1) -> None:
        """Call tools, and get what they return."""
        self.sends(self.tool_turn(calls))
        self.returns([self.world.prose(1, 5) for _ in range(calls)])

    def works(self, steps: int, calls: int = 1) -> None:
        for _ in range(steps):
            self.step(calls)
