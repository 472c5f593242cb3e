"""More kinds of simulated runs: what servers, SDKs and frameworks do to a history beside the usual.

Knows nothing of the daemon. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.helpers.simulated_apis import Called, Said
from tests.helpers.simulated_runs import Agent


def counted_ids(agent: Agent) -> None:
    """The server counts its calls: every run has the same ids."""
    agent.asks(agent.world.prose(1, 2))
    for number in range(5):
        turn = agent.tool_turn()
        turn.calls[0].id = f"call_{number}"
        agent.sends(turn)
        agent.returns([agent.world.prose(1, 3)])
    agent.sends(agent.answer())


def thought_aloud(agent: Agent) -> None:
    """Thinking stands in the text, and is cut out of what is sent back."""

    def shown(history: list[Said]) -> list[Said]:
        return [replace(said, text=said.text.rpartition("</think>")[2].strip()) for said in history]

    agent.shown = shown
    for _ in range(4):
        agent.asks(agent.world.words(3, 9))
        agent.sends(
            agent.answer(f"<think>\n{agent.world.prose(1, 3)}\n</think>\n\n{agent.world.words(2, 30)}")
        )


def stripped(agent: Agent) -> None:
    """White space at the ends of texts is lost."""
    agent.shown = lambda history: [replace(said, text=said.text.strip()) for said in history]
    for _ in range(4):
        agent.asks(agent.world.words(3, 9))
        agent.sends(agent.answer(f"\n\n{agent.world.words(2, 20)}\n"))


def one_by_one(agent: Agent) -> None:
    """Parallel calls come back as messages of their own, each with its result; their ids tell whose they are."""
    agent = Agent(agent.world, agent.kind, "chat", run=agent.run)

    def shown(history: list[Said]) -> list[Said]:
        found: list[Said] = []
        for said in history:
            if said.role == "tool" and found and len(said.results) > 1:
                asked = found.pop()
                for number, (called, text) in enumerate(said.results):
                    one = replace(asked, text="" if number else asked.text, calls=[called], thinking="")
                    found += [one, Said("tool", results=[(called, text)])]
            else:
                found.append(said)
        return found

    agent.shown = shown
    agent.asks(agent.world.prose(1, 2))
    agent.works(3, calls=2)
    agent.sends(agent.answer())


def window(agent: Agent) -> None:
    """Only the last messages are sent."""
    agent.shown = lambda history: history[-7:] if len(history) > 7 else history
    for _ in range(9):
        agent.asks(agent.world.words(3, 12))
        agent.sends(agent.answer(agent.world.words(3, 40)))


def polls(agent: Agent) -> None:
    """The same call again, with the same result, until something changes."""
    agent.asks(agent.world.prose(1, 2))
    for number in range(6):
        turn = agent.tool_turn(text="")
        turn.calls = [Called("status", {"job": 7}, turn.calls[0].id)]
        agent.sends(turn)
        agent.returns(["pending" if number < 5 else "done"])
    agent.sends(agent.answer())


def kept_end(agent: Agent) -> None:
    """After its compaction the history goes on from a summary and the last messages."""
    world = agent.world
    agent.asks(world.prose(1, 2))
    agent.works(4)
    before = list(agent.history)
    last = agent.last
    agent.asks("Summarize the conversation so far.")
    agent.sends(agent.answer(world.prose(4, 9)))
    summary = agent.history[-1].text
    agent.history = [Said("user", f"Summary of what was done:\n{summary}"), *before[-4:]]
    agent.last, agent.previous = last, ""
    agent.works(3)
    agent.sends(agent.answer())


def templated(agent: Agent) -> None:
    """Sub-agents at the same time, each told its task within a template."""
    world = agent.world
    agent.asks(world.prose(1, 2))
    turn = agent.tool_turn(calls=2)
    tasks = [world.prose(2, 4) for _ in range(2)]
    for called, task in zip(turn.calls, tasks, strict=True):
        called.name, called.arguments = "task", {"prompt": task}
    agent.sends(turn)
    children: list[Agent] = []
    for task in tasks:
        child = Agent(world, agent.kind, agent.name, has_ids=agent.style.has_ids, run=agent.run)
        child.is_sub_agent = True
        child.asks(f"You are a helper. Your task: {task}\nReport when you have done it.")
        children.append(child)
    for _ in range(2):
        for child in children:
            child.step()
    for child in children:
        child.sends(child.answer())
    agent.returns([child.history[-1].text for child in children])
    agent.sends(agent.answer())


def reminded(agent: Agent) -> None:
    """What is said last carries a reminder that is gone in the next request; the first has none."""

    def shown(history: list[Said]) -> list[Said]:
        last = history[-1]
        if len(history) == 1:
            return history
        note = f"\n<reminder>{agent.world.words(3, 9)}</reminder>"
        if last.role == "tool":
            return [*history[:-1], Said("tool", results=[(one, text + note) for one, text in last.results])]
        return [*history[:-1], replace(last, text=last.text + note)]

    agent.shown = shown
    agent.asks(agent.world.prose(1, 2))
    agent.works(4)
    agent.sends(agent.answer())


def reacts(agent: Agent) -> None:
    """Calls and results of tools are plain text."""
    agent.asks(agent.world.prose(1, 2))
    for _ in range(5):
        agent.sends(
            agent.answer(f"Thought: {agent.world.words(3, 9)}\nAction: search[{agent.world.words(1, 3)}]")
        )
        agent.asks(f"Observation: {agent.world.prose(1, 2)}")
    agent.sends(agent.answer())


def cut_short(agent: Agent) -> None:
    """An answer was cancelled in its middle, and asked for again."""
    agent.asks(agent.world.prose(1, 2))
    agent.step()
    agent.sends(agent.answer(agent.world.words(2, 8)), counts=False)
    agent.works(2)
    agent.sends(agent.answer(agent.world.words(2, 8)), counts=False)
    agent.sends(agent.answer())


def same_words(agent: Agent) -> None:
    """Short answers, the same in every run."""
    for number in range(5):
        agent.asks(agent.world.words(1, 3) if number % 2 else agent.world.words(4, 9))
        agent.sends(agent.answer(agent.world.rng.choice(["Yes.", "No.", "Done.", "I see."])))


def files(agent: Agent) -> None:
    """Everyone begins with the same calls."""
    agent.asks(agent.world.prose(1, 2))
    for path in ("README.md", "setup.py", "src/main.py"):
        turn = agent.tool_turn(text="Let me look at the repository.")
        turn.calls = [Called("read_file", {"path": path}, turn.calls[0].id)]
        agent.sends(turn)
        agent.returns([f"# The content of {path}\n"])
    agent.works(3)
    agent.sends(agent.answer())


ODDITIES: dict[str, Callable[[Agent], None]] = {
    one.__name__: one
    for one in (
        counted_ids, thought_aloud, stripped, one_by_one, window, polls, kept_end, templated, reminded, reacts, cut_short,
        same_words, files,
    )
}  # fmt: skip
