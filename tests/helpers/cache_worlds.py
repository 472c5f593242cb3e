"""Labelled calls of a made-up provider that plays a cache token by token: what was planted is known, and what is read follows.

Made without the code under test, and otherwise than ``cache_cases``: prompts are lists of tokens, entries are what earlier
calls of any conversation left, and a change in the middle of a prompt leaves what stands before it readable. Seeded.
"""

from __future__ import annotations

import copy
import datetime as dt
import random
import re
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.helpers.cache_formats import Format

Json = dict[str, Any]
TOKEN = re.compile(r"\w{1,7}|[^\w\s]")
LOOKBACK = 20
TEXT = (
    "invoice ledger harbor vessel cargo customs tariff broker manifest container pallet berth crane tide pilot anchor"
    " shipment carrier consignee freight terminal gate yard truck rail depot warehouse inventory audit schedule delay"
)
WORDS = TEXT.split()


class Labelled(NamedTuple):
    """A record, and what is known of it."""

    record: Json
    cause: str
    """"" of a healthy call."""
    lost_tokens: int = 0
    lost_usd: float | None = None
    place: Mapping[str, Any] = MappingProxyType({})
    scenario: str = ""


class Entry(NamedTuple):
    """What a call left in the cache."""

    scope: tuple[str, ...]
    tokens: list[str]
    blocks: int
    readable: dt.datetime
    until: dt.datetime


class Prompt:
    """A prompt in blocks, as providers put it together: tools, system, messages."""

    def __init__(self, tools: list[Json], system: list[str], messages: list[Json]) -> None:
        self.tools, self.system, self.messages = tools, system, messages

    def blocks(self) -> list[list[str]]:
        """Return the tokens of each block."""
        texts = [f"tool {one['name']} {one['description']} {one['parameters']}" for one in self.tools]
        texts += [f"system {one}" for one in self.system]
        for one in self.messages:
            texts += [f"{one['role']} {text}" for text in _texts(one)]
        return [TOKEN.findall(text) for text in texts]

    def last_of(self, messages: int) -> int:
        """Return the number of the last block of the first ``messages`` messages."""
        before = len(self.tools) + len(self.system)
        return before + sum(len(_texts(one)) for one in self.messages[:messages]) - 1


def _texts(message: Json) -> list[str]:
    found = [message["text"]] if message.get("text") else []
    found += [f"{name} {arguments}" for _, name, arguments in message.get("calls", ())]
    return found + [text for _, _, text in message.get("results", ())]


class World:
    """The provider's cache, and the clock."""

    def __init__(self, seed: int, start: dt.datetime) -> None:
        self.rng = random.Random(seed)
        self.at = start
        self.entries: list[Entry] = []
        self.labelled: list[Labelled] = []

    def prose(self, words: int) -> str:
        return " ".join(self.rng.choice(WORDS) for _ in range(words)) + "."

    def read(self, scope: tuple[str, ...], how: Format, prompt: Prompt, marks: list[int]) -> int:
        """Return how many tokens are read."""
        blocks = prompt.blocks()
        if how.is_named:
            return sum(map(len, blocks[: len(prompt.tools) + len(prompt.system)]))
        whole = [token for block in blocks for token in block]
        alive = [one for one in self.entries if one.scope == scope and one.readable <= self.at < one.until]
        if how.is_marked:
            found = [
                len(one.tokens)
                for one in alive
                if whole[: len(one.tokens)] == one.tokens
                and any(one.blocks - 1 <= mark < one.blocks - 1 + LOOKBACK for mark in marks)
            ]
            return max(found, default=0)
        shared = max((_shared(one.tokens, whole) for one in alive), default=0)
        shared = min(shared, len(whole) - 1) // how.step * how.step
        if how.is_vague:
            shared = int(shared * self.rng.uniform(0.93, 0.995))
        return shared if shared >= how.minimum else 0

    def leave(
        self, scope: tuple[str, ...], how: Format, prompt: Prompt, marks: list[int], end: dt.datetime
    ) -> int:
        """Add what a call leaves; return its longest entry's tokens."""
        blocks = prompt.blocks()
        until = self.at + dt.timedelta(seconds=how.seconds)
        if not how.is_marked:
            whole = [token for block in blocks for token in block]
            self.entries.append(Entry(scope, whole, len(blocks), end, until))
            return len(whole) // how.step * how.step
        longest = 0
        for mark in marks:
            tokens = [token for block in blocks[: mark + 1] for token in block]
            if len(tokens) >= how.minimum:
                self.entries.append(Entry(scope, tokens, mark + 1, end, until))
                longest = max(longest, len(tokens))
        return longest


def _shared(one: list[str], other: list[str]) -> int:
    """Return how many first tokens are equal."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Talk:
    """One conversation with one agent."""

    def __init__(self, world: World, how: Format, *, head_words: int = 1300, tools: int = 4) -> None:
        self.world, self.how, self.rng = world, how, world.rng
        self.model, self.tier, self.region = how.models[0], "", "us-east-1"
        self.tools = [self._tool(f"{world.rng.choice(WORDS)}_{number}") for number in range(tools)]
        self.system = [world.prose(head_words // 2), world.prose(head_words // 2)]
        self.messages: list[Json] = [{"role": "user", "text": world.prose(self.rng.randint(30, 150))}]
        self.agent = f"desk-{self.rng.getrandbits(40):x}"
        self.run = f"run-{self.rng.getrandbits(60):x}"
        self.latency = self.rng.uniform(1, 6)
        self.marks = "both"
        self.left = 0
        self.answer: Json = {}
        self.previous = ""

    def _tool(self, name: str) -> Json:
        fields = {
            word: {"type": "string", "description": self.world.prose(6)} for word in self.rng.sample(WORDS, 3)
        }
        return {
            "name": name,
            "description": self.world.prose(30),
            "parameters": {"type": "object", "properties": fields},
        }

    def twin(self) -> Talk:
        """Return another conversation of the same agent: tools and system are equal, the message is not."""
        found = copy.copy(self)
        found.tools, found.system = copy.deepcopy(self.tools), [*self.system]
        found.messages = [{"role": "user", "text": self.world.prose(60)}]
        found.run, found.left, found.previous = f"run-{self.rng.getrandbits(60):x}", 0, ""
        return found

    def grow(self, words: int = 0) -> None:
        """Add the answer, and what follows it."""
        self.messages.append(self.answer)
        text = self.world.prose(words or self.rng.randint(30, 300))
        if self.answer.get("calls"):
            results = [
                (call, name, self.world.prose(len(text.split()))) for call, name, _ in self.answer["calls"]
            ]
            self.messages.append({"role": "tool", "results": results})
        else:
            self.messages.append({"role": "user", "text": text})

    def prompt(self) -> Prompt:
        return Prompt(self.tools, self.system, self.messages)

    def marked(self) -> list[int]:
        """Return the numbers of the blocks that have a mark."""
        prompt, head = self.prompt(), len(self.tools) + len(self.system) - 1
        if not self.how.is_marked or self.marks == "none":
            return []
        found = [] if self.marks == "last" or self.how.is_automatic else [head]
        return found if self.marks == "head" else [*found, prompt.last_of(len(self.messages))]

    def scope(self) -> tuple[str, ...]:
        return (self.how.name, self.model, self.tier, self.region)

    def send(
        self, scenario: str, cause: str = "", *, after: float | None = None, calls: int | None = None,
        could: int | None = None, is_lost: bool = False, **place: Any,
    ) -> Labelled:  # fmt: skip
        """Send the prompt as it is. ``is_lost``: the provider's routing goes elsewhere, so that nothing is read."""
        world, how = self.world, self.how
        pause = self.latency + self.rng.uniform(2, 25) if after is None else after
        world.at += dt.timedelta(seconds=pause)
        prompt, marks, scope = self.prompt(), self.marked(), self.scope()
        total = sum(map(len, prompt.blocks()))
        read = 0 if is_lost else world.read(scope, how, prompt, marks)
        end = world.at + dt.timedelta(seconds=self.latency)
        longest = world.leave(scope, how, prompt, marks, end)
        written = max(0, longest - read) if how.is_marked else 0
        self._say(calls)
        record = self._record(total, read, written)
        before, self.left = (
            self.left if could is None else could,
            longest if how.is_marked else total // how.step * how.step,
        )
        self.previous = record.get("response", {}).get("id", "")
        lost = before - read if cause else 0
        found = Labelled(
            record, cause, lost, self._dollars(lost, written) if cause else None, place, scenario
        )
        world.labelled.append(found)
        return found

    def _say(self, calls: int | None) -> None:
        count = self.rng.choice((0, 1, 1, 2)) if calls is None else calls
        chosen = [self.rng.choice(self.tools)["name"] for _ in range(count)] if self.tools else []
        made = [(self._call_id(), name, {"query": self.world.prose(4)}) for name in chosen]
        self.answer = {"role": "assistant", "text": self.world.prose(self.rng.randint(8, 50)), "calls": made}

    def _call_id(self) -> str:
        letters = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
        return "call_" + "".join(self.rng.choice(letters) for _ in range(24))

    def _record(self, prompt: int, read: int, written: int) -> Json:
        url, request, response = self.how.render(self, prompt, read, written)
        record: Json = {
            "protocol_version": 4,
            "provider_trace_id": f"provider_trace-{uuid.UUID(int=self.rng.getrandbits(128), version=4)}",
            "org_id": "org-worlds", "agent_id": self.agent, "run_id": self.run, "type": "agent_step", "url": url,
            "status_code": 200, "latency_ms": round(self.latency * 1000), "timestamp": self.world.at.isoformat(),
            "request": request,
        }  # fmt: skip
        record["response_stream" if isinstance(response, str) else "response"] = response
        return record

    def _dollars(self, lost: int, written: int) -> float | None:
        rates = self.how.rates.get(self.model)
        if rates is None or self.tier:
            return None
        fresh, read, write = rates
        again = min(lost, written)
        return ((lost - again) * (fresh - read) + again * (write - read)) / 1e6
