"""Further kinds of simulated runs: what frameworks rewrite between turns, and what users of one application share.

Knows nothing of the daemon. Everything follows from the seed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

from tests.helpers.simulated_apis import APIS, Called, Said
from tests.helpers.simulated_runs import Agent


def of_api(agent: Agent, *names: str) -> Agent:
    """Return the agent, or one of its run whose API is among these."""
    if agent.name in names:
        return agent
    name = agent.world.rng.choice(names)
    return Agent(agent.world, agent.kind, name, has_ids=agent.style.has_ids, run=agent.run)


STATELESS = tuple(name for name in APIS if name != "kept responses")


def same_tasks(agent: Agent) -> None:
    """Sub-agents at the same time that are told the same."""
    world = agent.world
    agent.asks(world.prose(1, 2))
    turn = agent.tool_turn(calls=3)
    task = world.prose(2, 4)
    for called in turn.calls:
        called.name, called.arguments = "task", {"prompt": task}
    agent.sends(turn)
    children: list[Agent] = []
    for _ in turn.calls:
        child = Agent(world, agent.kind, agent.name, has_ids=agent.style.has_ids, run=agent.run)
        child.is_sub_agent = True
        child.asks(task)
        children.append(child)
    for _ in range(3):
        for child in children:
            child.step()
    for child in children:
        child.sends(child.answer())
    agent.returns([child.history[-1].text for child in children])
    agent.works(2)
    agent.sends(agent.answer())


def greetings(agent: Agent) -> None:
    """Two users say hello, are answered the same, and then go different ways."""
    agent = of_api(agent, *STATELESS)
    other = copy.copy(agent)
    other.history, other.run, agent.world.runs = [], agent.world.runs, agent.world.runs + 1
    for one in (agent, other):
        one.asks("Hello")
        one.sends(Said("assistant", "Hello! How can I help you today?"))
    for _ in range(5):
        for one in (agent, other):
            one.asks(one.world.words(4, 14))
            one.sends(one.answer(one.world.words(4, 30)))


def welcomes(agent: Agent) -> None:
    """The application has put a greeting of the assistant's at the beginning, the same for all."""
    agent = of_api(agent, "chat", "messages", "ollama", "cohere")
    agent.history.append(
        Said("assistant", "Welcome to the help desk! I can look up orders, bills and deliveries.")
    )
    for _ in range(5):
        agent.asks(agent.world.words(2, 14))
        agent.sends(agent.answer(agent.world.words(2, 30)))


def trimmed_results(agent: Agent) -> None:
    """What tools returned is cut as soon as it has been read once."""

    def shown(history: list[Said]) -> list[Said]:
        return [
            replace(said, results=[(one, text[:20] + "... [cut]") for one, text in said.results])
            if said is not history[-1]
            else said
            for said in history
        ]

    agent.shown = shown
    agent.asks(agent.world.prose(1, 2))
    agent.works(6)
    agent.sends(agent.answer())


def changed_first(agent: Agent) -> None:
    """What was asked first is edited, and what followed is kept."""
    agent = of_api(agent, *STATELESS)
    agent.asks(agent.world.words(4, 12))
    agent.sends(agent.answer(agent.world.words(3, 12)))
    agent.asks(agent.world.words(4, 12))
    agent.sends(agent.answer(agent.world.words(3, 40)))
    agent.history[0] = Said("user", agent.world.words(4, 12))
    for _ in range(4):
        agent.asks(agent.world.words(4, 12))
        agent.sends(agent.answer(agent.world.words(3, 40)))


def changed_first_of_tools(agent: Agent) -> None:
    """The same, with calls of tools."""
    agent = of_api(agent, *STATELESS)
    agent.asks(agent.world.words(4, 12))
    agent.works(2)
    agent.history[0] = Said("user", agent.world.words(4, 12))
    agent.works(4)
    agent.sends(agent.answer())


def moved_system(agent: Agent) -> None:
    """From some step on the prompt is a message before the others, instead of standing beside them."""
    agent = of_api(agent, "chat", "responses", "messages", "cohere", "ollama")
    agent.asks(agent.world.prose(1, 2))
    agent.works(3)
    agent.history.insert(
        0, Said("developer" if agent.name in ("chat", "responses") else "user", agent.system)
    )
    agent.system = ""
    agent.works(3)
    agent.sends(agent.answer())


def defaults_filled(agent: Agent) -> None:
    """A framework reads a call's arguments by its schema, and sends them back with nulls for what was not said."""

    def filled(called: Called) -> Called:
        return replace(called, arguments={**called.arguments, "offset": None, "filters": None})

    agent.shown = lambda history: [
        replace(
            said,
            calls=[filled(one) for one in said.calls],
            results=[(filled(one), text) for one, text in said.results],
        )
        for said in history
    ]
    agent.asks(agent.world.prose(1, 2))
    agent.works(5)
    agent.sends(agent.answer())


HABITS: dict[str, Callable[[Agent], None]] = {
    one.__name__: one
    for one in (
        same_tasks, welcomes, trimmed_results, changed_first, changed_first_of_tools, moved_system, defaults_filled,
    )
}  # fmt: skip
