"""Scenarios for ``cache_worlds``: healthy runs of many kinds, and runs with one planted cause each."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

from tests.helpers.cache_formats import FORMATS, NAMED, Format
from tests.helpers.cache_worlds import Labelled, Talk, World

MARKED = tuple(one for one in FORMATS if one.is_marked)


def _steps(talk: Talk, name: str, count: int) -> None:
    talk.send(name)
    for _ in range(count):
        talk.grow()
        talk.send(name)


def healthy_growth(world: World, how: Format) -> None:
    _steps(Talk(world, how), "growth", world.rng.randint(3, 6))


def healthy_long_results(world: World, how: Format) -> None:
    talk = Talk(world, how)
    talk.send("long results")
    for _ in range(3):
        talk.grow(1500)
        talk.send("long results")


def healthy_second_conversation(world: World, how: Format) -> None:
    first = Talk(world, how)
    _steps(first, "first of two", 2)
    _steps(first.twin(), "second of two", 2)


def healthy_head_marks(world: World, how: Format) -> None:
    """What is marked is the head alone, so that messages are never read."""
    talk = Talk(world, how)
    talk.marks = "both" if how.is_automatic else "head"
    _steps(talk, "marks of the head", 4)


def healthy_named(world: World, _: Format) -> None:
    """An entry that was made before holds tools and system prompt; nothing else is kept."""
    _steps(Talk(world, NAMED), "named entry", 4)


def healthy_fork(world: World, how: Format) -> None:
    """Two calls at once that continue one conversation, with other questions."""
    talk = Talk(world, how)
    _steps(talk, "fork", 2)
    talk.grow(40)
    one = talk.messages[-1]
    talk.send("fork")
    answer = talk.answer
    talk.messages[-1] = {**one, "text": world.prose(50)} if one["role"] == "user" else one
    talk.send("fork", after=0.4)
    talk.answer = answer


def healthy_other_system(world: World, how: Format) -> None:
    """An agent calls a helper with another system prompt and other tools in the middle of its run."""
    talk = Talk(world, how)
    _steps(talk, "helper", 2)
    helper = Talk(world, how, tools=2)
    helper.agent, helper.run = talk.agent, talk.run
    _steps(helper, "helper", 2)
    talk.grow()
    talk.send("helper")


def healthy_retry(world: World, how: Format) -> None:
    talk = Talk(world, how)
    talk.send("retry")
    talk.grow()
    failed = talk.send("retry")
    failed.record.pop("response_stream", None)
    failed.record.update(
        status_code=529, response={"error": {"type": "overloaded_error", "message": "Overloaded"}}
    )
    talk.send("retry")
    talk.grow()
    talk.send("retry")


def healthy_within_life(world: World, how: Format) -> None:
    talk = Talk(world, how)
    talk.send("within life")
    for _ in range(3):
        talk.grow()
        talk.send("within life", after=how.seconds * 0.9 if how.seconds < 4000 else 1000)


def healthy_at_once(world: World, how: Format) -> None:
    """Conversations that begin at once, whose one mark is behind their own messages: none can read another's."""
    first = Talk(world, how)
    first.marks = "last"
    others = [first.twin(), first.twin()] if how.is_marked else []
    for one in (first, *others):
        one.send("at once", after=0.0)


HEALTHY: tuple[Callable[[World, Format], None], ...] = (
    healthy_growth, healthy_long_results, healthy_second_conversation, healthy_head_marks, healthy_fork,
    healthy_other_system, healthy_retry, healthy_within_life, healthy_named, healthy_at_once,
)  # fmt: skip


def _begun(world: World, how: Format, **wishes: Any) -> Talk:
    talk = Talk(world, how, **wishes)
    _steps(talk, "begun", world.rng.randint(1, 3))
    talk.grow()
    return talk


def tools_changed(world: World, how: Format) -> None:
    talk = _begun(world, how)
    change = world.rng.choice(("added", "removed", "edited", "reordered"))
    at = world.rng.randrange(len(talk.tools))
    name = talk.tools[at]["name"]
    if change == "added":
        name = "mcp__dock__find_berth"
        talk.tools.insert(at, talk._tool(name))
    elif change == "removed":
        del talk.tools[at]
    elif change == "edited":
        schema = {"type": "object", "properties": {"limit": {"type": "integer", "maximum": 50}}}
        talk.tools[at] = {**talk.tools[at], "parameters": schema}
    else:
        at = min(at, len(talk.tools) - 2)
        talk.tools[at], talk.tools[at + 1] = talk.tools[at + 1], talk.tools[at]
        name = talk.tools[at]["name"]
    talk.send("tools", "tools_changed", part="tools", change=change, tool=name, index=at)


def changed_at_once(world: World, how: Format) -> None:
    """The second call of a conversation has other tools: no call of it has read from the cache."""
    talk = Talk(world, how)
    talk.send("at once")
    talk.grow()
    name = talk.tools[1]["name"]
    talk.tools[1] = {**talk.tools[1], "description": world.prose(30)}
    talk.send("at once", "tools_changed", part="tools", change="edited", tool=name, index=1)


def schema_in_another_order(world: World, how: Format) -> None:
    """A language without an order of members writes a tool's schema in another one."""
    talk = _begun(world, how)
    schema = talk.tools[1]["parameters"]
    turned = {**schema, "properties": dict(reversed(schema["properties"].items()))}
    talk.tools[1] = {**talk.tools[1], "parameters": turned}
    name = talk.tools[1]["name"]
    talk.send("order", "tools_changed", part="tools", change="edited", tool=name, index=1)


def arguments_in_another_order(world: World, how: Format) -> None:
    """An earlier call's arguments come in another order."""
    talk = Talk(world, how)
    talk.send("order", calls=1)
    call, name, arguments = talk.answer["calls"][0]
    talk.answer["calls"][0] = (call, name, {**arguments, "limit": "5", "part": "all"})
    for _ in range(2):
        talk.grow(500)
        talk.send("order", calls=1)
    talk.grow()
    arguments = dict(reversed(talk.messages[1]["calls"][0][2].items()))
    talk.messages[1] = {**talk.messages[1], "calls": [(call, name, arguments)]}
    talk.send("order", "history_changed", part="messages", change="edited")


def system_changed(world: World, how: Format) -> None:
    rng = world.rng
    kind = rng.choice(("clock", "uuid", "number", ""))
    new: dict[str, Callable[[], str]] = {
        "clock": lambda: f"{rng.randint(10, 23)}:{rng.randint(10, 59)}:{rng.randint(10, 59)}",
        "uuid": lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "number": lambda: str(rng.randint(1, 999)),
        "": lambda: rng.choice(("quay", "wharf", "jetty")),
    }
    talk = Talk(world, how)
    number = rng.randrange(2)
    words = talk.system[number].split(" ")
    at = rng.randrange(0, len(words) - 1)
    words[at] = before = new[kind]()
    talk.system[number] = " ".join(words)
    _steps(talk, "begun", 2)
    talk.grow()
    while words[at] == before:
        words[at] = new[kind]()
    old, talk.system[number] = talk.system[number], " ".join(words)
    offset = next(i for i, (a, b) in enumerate(zip(old, talk.system[number], strict=False)) if a != b)
    joined = "\n\n" if how.name == "responses" else "\n"
    offset += number * (len(talk.system[0]) + len(joined))
    label: dict[str, Any] = {"suspect": kind} if kind else {}
    talk.send("system", "system_changed", part="system", offset=offset, **label)


def history_changed(world: World, how: Format) -> None:
    talk = _begun(world, how)
    change = world.rng.choice(("edited", "cleared", "dropped", "inserted"))
    users = [at for at, one in enumerate(talk.messages[:-2]) if one["role"] == "user"]
    results = [at for at, one in enumerate(talk.messages[:-2]) if one["role"] == "tool"]
    at = world.rng.choice(users)
    place: dict[str, Any] = {"change": change}
    if change == "cleared":
        place["change"] = "edited"
        if results:
            at = world.rng.choice(results)
            old = talk.messages[at]["results"]
            talk.messages[at] = {"role": "tool", "results": [(c, n, "[cleared]") for c, n, _ in old]}
        else:
            change = "edited"
    if change == "edited":
        talk.messages[at] = {"role": "user", "text": world.prose(len(talk.messages[at]["text"].split()))}
    elif change == "dropped":
        at = 0
        del talk.messages[0]
    elif change == "inserted":
        talk.messages.insert(at, {"role": "user", "text": world.prose(25)})
    could = None
    if change in ("dropped", "cleared"):
        behind = sum(map(len, talk.prompt().blocks()[talk.prompt().last_of(len(talk.messages) - 2) + 1 :]))
        total = sum(map(len, talk.prompt().blocks()))
        could = min(talk.left, total - behind)
    talk.send("history", "history_changed", could=could, part="messages", index=_shown(talk, at), **place)


def _shown(talk: Talk, at: int) -> int:
    """Return the number of a message as the request has it."""
    number = 0
    for one in talk.messages[:at]:
        if talk.how.name == "responses":
            number += 1 + len(one.get("calls", ())) if one["role"] != "tool" else len(one["results"])
        elif talk.how.name in ("openai", "openai stream", "azure", "deepseek", "xai", "openrouter"):
            number += len(one["results"]) if one["role"] == "tool" else 1
        else:
            number += 1
    is_chat = talk.how.name in ("openai", "openai stream", "azure", "deepseek", "xai", "openrouter")
    return number + len(talk.system) * is_chat


def model_changed(world: World, how: Format) -> None:
    talk = _begun(world, how)
    talk.model = how.models[1]
    is_named = how.name not in ("openrouter", "invoke", "converse")  # whose rows have a price list's name
    label: dict[str, Any] = {"model": talk.model} if is_named else {}
    talk.send("model", "model_changed", **label)


def tier_changed(world: World, how: Format) -> None:
    talk = _begun(world, how)
    if how.name in ("invoke", "converse") and world.rng.random() < 0.6:
        talk.region = "us-west-2"
        talk.send("region", "tier_changed", region="us-west-2", was="us-east-1")
        return
    talk.tier = how.tier
    talk.send("tier", "tier_changed")


def expired(world: World, how: Format) -> None:
    talk = _begun(world, how)
    talk.send("expired", "expired", after=how.seconds * world.rng.uniform(1.1, 4))


def too_short(world: World, how: Format) -> None:
    how = how._replace(minimum=4096 if "opus" in how.models[0] else how.minimum)
    talk = Talk(world, how, head_words=int(how.minimum * 0.45), tools=1)
    talk.send("short", calls=0)
    could = sum(map(len, talk.prompt().blocks())) // how.step * how.step
    talk.grow(20)
    talk.send("short", "too_short", could=could)


def mark_moved(world: World, how: Format) -> None:
    talk = Talk(world, how)
    if world.rng.random() < 0.5:
        _steps(talk, "begun", 2)
        talk.grow()
        talk.marks = world.rng.choice(("none", "head"))
        talk.how = how._replace(is_automatic=False)
        talk.send("mark", "mark_moved")
        return
    talk.marks = "last"
    _steps(talk, "begun", 1)
    talk.grow()
    talk.send("begun", calls=11)
    talk.grow(12)
    talk.send("mark", "mark_moved")


def in_flight(world: World, how: Format) -> None:
    """Three conversations of one agent at once: what the first writes is not there yet."""
    first = Talk(world, how, head_words=2600)
    first.latency = 12.0
    others = [first.twin(), first.twin()]
    head = sum(map(len, first.prompt().blocks()[:-1])) // how.step * how.step
    first.send("in flight", calls=0)
    for one in others:  # at one moment, and later
        after = world.rng.choice((0.0, 0.7))
        one.send("in flight", "in_flight", after=after, could=head, calls=0)


def samples(world: World, how: Format) -> None:
    """Two answers to one prompt are asked for at once: the second reads nothing of what the first writes."""
    one = Talk(world, how)
    one.messages[0]["text"] = world.prose(900)
    one.latency = 12.0
    other = one.twin()
    other.messages = [*one.messages]
    one.send("samples", calls=0)
    other.left = one.left
    other.send("samples", "in_flight", after=0.3, calls=0)


def unknown(world: World, how: Format) -> None:
    talk = _begun(world, how)
    talk.send("routing", "unknown", is_lost=True)


def elsewhere(world: World, how: Format) -> None:
    """The first call of a conversation does not read what another conversation's first call has read."""
    first = Talk(world, how, head_words=2600)
    _steps(first, "elsewhere", 1)
    second = first.twin()
    second.send("elsewhere")
    _steps(second.twin(), "elsewhere", 1)
    head = sum(map(len, first.prompt().blocks()[: len(first.tools) + len(first.system)]))
    first.twin().send("elsewhere", "unknown", is_lost=True, could=head // how.step * how.step)


PLANTED: dict[str, tuple[Callable[[World, Format], None], tuple[Format, ...]]] = {
    "tools_changed": (tools_changed, FORMATS),
    "at_once": (changed_at_once, FORMATS),
    "schema_in_another_order": (schema_in_another_order, FORMATS),
    "arguments_in_another_order": (arguments_in_another_order, FORMATS),
    "system_changed": (system_changed, FORMATS),
    "history_changed": (history_changed, FORMATS),
    "model_changed": (model_changed, FORMATS),
    "tier_changed": (tier_changed, tuple(one for one in FORMATS if one.tier)),
    "expired": (expired, tuple(one for one in FORMATS if not one.is_vague)),
    "too_short": (too_short, tuple(one for one in FORMATS if one.minimum > 100 and not one.is_vague)),
    "mark_moved": (mark_moved, MARKED),
    "in_flight": (in_flight, tuple(one for one in FORMATS if not one.is_vague and not one.is_automatic)),
    "samples": (samples, tuple(one for one in FORMATS if not one.is_vague)),
    "unknown": (unknown, FORMATS),
    "elsewhere": (elsewhere, tuple(one for one in FORMATS if not one.is_vague and not one.is_automatic)),
}


def cases(seed: int, start: dt.datetime, each: int = 4, healthy: int = 2) -> list[Labelled]:
    """Return the calls of ``each`` planted run for every cause and format, and ``healthy`` runs of every kind."""
    world = World(seed, start)
    for plant, hows in PLANTED.values():
        for how in hows:
            for _ in range(each):
                plant(world, how)
                world.entries.clear()
                world.at += dt.timedelta(seconds=30)
    for run in HEALTHY:
        for how in FORMATS:
            for _ in range(healthy):
                run(world, how)
                world.entries.clear()
                world.at += dt.timedelta(seconds=30)
    return world.labelled
