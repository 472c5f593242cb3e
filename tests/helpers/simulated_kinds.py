"""The kinds of runs that are simulated.

Knows nothing of the daemon. Everything follows from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count

from tests.helpers.simulated_apis import Said
from tests.helpers.simulated_habits import HABITS, greetings
from tests.helpers.simulated_oddities import ODDITIES
from tests.helpers.simulated_runs import Agent, Call, World


def tool_loop(agent: Agent) -> None:
    agent.asks(agent.world.prose(1, 3))
    agent.works(agent.world.rng.randint(3, 8))
    agent.sends(agent.answer())


def parallel(agent: Agent) -> None:
    agent.asks(agent.world.prose(1, 2))
    agent.works(agent.world.rng.randint(2, 5), calls=3)
    agent.sends(agent.answer())


def chat(agent: Agent) -> None:
    for _ in range(agent.world.rng.randint(3, 7)):
        agent.asks(agent.world.words(2, 12))
        agent.sends(agent.answer("Yes." if agent.world.rng.random() < 0.2 else ""))


def clock(agent: Agent) -> None:
    agent.clock = True
    tool_loop(agent)


def users_clock(agent: Agent) -> None:
    agent.user_clock = True
    tool_loop(agent)


def forks(agent: Agent) -> None:
    agent.asks(agent.world.prose(1, 2))
    agent.works(agent.world.rng.randint(1, 3))
    others = [agent.fork() for _ in range(2)]
    for one in (agent, *others):
        one.works(agent.world.rng.randint(1, 3))
        one.sends(one.answer())


def retries(agent: Agent) -> None:
    agent.asks(agent.world.prose(1, 2))
    for _ in range(agent.world.rng.randint(3, 6)):
        if agent.world.rng.random() < 0.4:
            agent.sends(None)
        agent.step()
    agent.sends(None)
    agent.sends(agent.answer())


def repeated(agent: Agent) -> None:
    """The same request was sent twice, and one of two answers is gone on with."""
    agent.asks(agent.world.prose(1, 2))
    agent.step()
    agent.sends(agent.tool_turn(), counts=False)
    agent.works(3)
    agent.sends(agent.answer())


def first_retry(agent: Agent) -> None:
    agent.asks(agent.world.prose(1, 2))
    agent.sends(None)
    agent.works(3)
    agent.sends(agent.answer())


def changed_tools(agent: Agent) -> None:
    agent.asks(agent.world.prose(1, 2))
    agent.works(3)
    agent.tools = ["search", "write_file"]
    agent.system += " Be brief."
    agent.works(3)
    agent.sends(agent.answer())


def trimmed(agent: Agent) -> None:
    """The first message and the last ones are sent."""
    size = 2 * agent.world.rng.randint(3, 5)
    agent.shown = lambda history: history if len(history) <= size + 1 else [history[0], *history[-size:]]
    agent.asks(agent.world.prose(1, 2))
    agent.works(agent.world.rng.randint(6, 10))
    agent.sends(agent.answer())


def cleared(agent: Agent) -> None:
    """Old results of tools are left out."""

    def shown(history: list[Said]) -> list[Said]:
        kept = history[-5:]
        return [
            *(
                Said("tool", results=[(called, "[cleared]") for called, _ in said.results])
                if said.role == "tool"
                else said
                for said in history[:-5]
            ),
            *kept,
        ]

    agent.shown = shown
    agent.asks(agent.world.prose(1, 2))
    agent.works(agent.world.rng.randint(4, 8))
    agent.sends(agent.answer())


def edited(agent: Agent) -> None:
    """The user edits an earlier message and goes on from there."""
    agent.asks(agent.world.words(4, 12))
    agent.sends(agent.answer())
    agent.asks(agent.world.words(4, 12))
    other = agent.fork()
    agent.sends(agent.answer())
    agent.asks(agent.world.words(4, 12))
    agent.sends(agent.answer())
    other.history[-1] = Said("user", agent.world.words(4, 12))
    other.sends(other.answer())
    other.asks(agent.world.words(4, 12))
    other.sends(other.answer())


def retrieval(agent: Agent) -> None:
    """Documents are put into the last question alone."""

    def shown(history: list[Said]) -> list[Said]:
        last = history[-1]
        return [*history[:-1], Said("user", f"Context:\n{agent.world.prose(3, 6)}\nQuestion: {last.text}")]

    agent.shown = shown
    for _ in range(agent.world.rng.randint(3, 5)):
        agent.asks(agent.world.words(4, 12))
        agent.sends(agent.answer(agent.world.prose(4, 8)))


def sub_agents(agent: Agent) -> None:
    world = agent.world
    agent.asks(world.prose(1, 2))
    agent.step()
    for _ in range(2):
        task = world.prose(1, 3)
        turn = agent.tool_turn()
        turn.calls[0].name, turn.calls[0].arguments = "task", {"description": "Look", "prompt": task}
        agent.sends(turn)
        child = Agent(world, agent.kind, agent.name, has_ids=agent.style.has_ids, run=agent.run)
        child.is_sub_agent = True
        child.asks(task)
        child.works(2)
        child.sends(child.answer())
        agent.returns([child.history[-1].text])
    agent.sends(agent.answer())


def compaction(agent: Agent) -> None:
    world = agent.world
    task = world.prose(1, 2)
    agent.asks(task)
    agent.works(world.rng.randint(2, 4))
    agent.asks("Summarize the conversation so far.")
    agent.sends(agent.answer(world.prose(4, 9)))
    summary = agent.history[-1].text
    around = world.rng.choice(
        ["{}", "This session goes on from an earlier one:\n\n{}\n\nGo on.", "Summary: {}"]
    )
    agent.history = [Said("user", around.format(summary))]
    agent.previous = ""
    agent.works(world.rng.randint(2, 4))
    agent.sends(agent.answer())


def twins(agent: Agent) -> None:
    """Some runs with one beginning, at the same time; their answers differ."""
    agent.asks(agent.world.prose(1, 2))
    others = [agent.fork() for _ in range(2)]
    for other in others:
        other.run, agent.world.runs = agent.world.runs, agent.world.runs + 1
    for _ in range(4):
        for one in (agent, *others):
            turn = one.tool_turn()
            one.sends(turn)
            one.returns([agent.world.prose(1, 4)])


KINDS: dict[str, Callable[[Agent], None]] = {
    one.__name__: one
    for one in (
        tool_loop, parallel, chat, clock, users_clock, forks, retries, repeated, first_retry, changed_tools, trimmed,
        cleared, edited, retrieval, sub_agents, compaction, twins,
    )
} | ODDITIES | HABITS  # fmt: skip
UNDECIDABLE: dict[str, Callable[[Agent], None]] = {greetings.__name__: greetings}
"""Kinds in which nothing that is sent tells whose some calls are."""


def simulated(
    seed: int, runs: int, kinds: list[str] | None = None, *, without_ids: float = 0.5
) -> list[Call]:
    """Return the calls of about so many runs of all kinds; of a part of them no call of a tool has an id."""
    world = World(random.Random(seed))
    chosen = kinds or list(KINDS)
    for number in count():
        if world.runs >= runs:
            break
        kind = chosen[number % len(chosen)]
        agent = Agent(world, kind, has_ids=world.rng.random() >= without_ids)
        (KINDS.get(kind) or UNDECIDABLE[kind])(agent)
    return world.calls
