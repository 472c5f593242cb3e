"""Calls of agents, for measurements of storage: requests that send a growing history again and again.

Invariants:
- The same plan makes the same lines of the wire, in the order in which the calls were started.
- Every text is drawn once and never again: a run shares with other runs its kind's system prompt and tool
  schemas, and nothing else, so that a table gains from repetition within a run only, as real ones do.
- Texts compress by themselves about as real ones do (``zstd -3``: prose 2.5 times, code 3.5, JSON 5): prose is
  a chain of words that follow each other in the docstrings of Python's standard library, code is cut in pieces
  of some lines from its modules, and tool results are JSON records with random identifiers, times and numbers.
"""

from __future__ import annotations

import io
import itertools
import json
import random
import sysconfig
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

KINDS: Final = ("tools", "coding", "chat", "rag", "batch")
"""tools: a loop with tool calls (Chat Completions); coding: files are read and edited (Messages); chat: people
(Responses); rag: documents that are new in each turn, and no history of them; batch: many questions about one
document, none of which sends another's answer."""

MODULES: Final = ("argparse", "ast", "asyncio", "collections", "concurrent", "dataclasses", "datetime", "decimal",
                  "difflib", "doctest", "email", "http", "importlib", "inspect", "json", "logging", "mailbox",
                  "multiprocessing", "optparse", "pathlib", "pdb", "pickle", "pydoc", "shutil", "smtplib", "socket",
                  "sqlite3", "ssl", "subprocess", "tarfile", "tempfile", "threading", "tkinter", "turtle", "typing",
                  "unittest", "urllib", "uuid", "xml", "zipfile")  # fmt: skip


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs, how many at once, and how long."""

    runs: int
    at_once: int
    steps: int = 40
    """Calls of a run, on average."""
    kinds: tuple[str, ...] = KINDS
    has_run_ids: bool = False
    organization: str = "org-1"
    begin_us: int = 1_780_000_000_000_000
    step_seconds: float = 8.0
    seed: int = 1


class Call(msgspec.Struct, frozen=True):
    """One call, as a line of the wire, and what the line may not say."""

    run: int
    at_us: int
    request: bytes
    line: bytes


@cache
def corpus() -> tuple[list[str], dict[str, list[str]]]:
    """Return pieces of code of a few lines, and the words that follow each word in comments and docstrings."""
    home = Path(sysconfig.get_paths()["stdlib"])
    files = [path for name in MODULES for path in sorted([home / f"{name}.py", *(home / name).rglob("*.py")])]
    pieces, follows = [], dict[str, list[str]]()
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        lines = text.splitlines(keepends=True)
        pieces += ["".join(lines[at : at + 3]) for at in range(0, len(lines), 3)]
        for said in _prose(text):
            words = said.split()
            for word, after in itertools.pairwise(words):
                follows.setdefault(word, []).append(after)
    return pieces, follows


def _prose(text: str) -> Iterator[str]:
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT or (
                token.type == tokenize.STRING and token.string.startswith('"""')
            ):
                yield token.string.strip('#" \n')
    except (tokenize.TokenError, SyntaxError):
        return


class Writer:
    """Texts, drawn with one generator of random numbers."""

    def __init__(self, seed: object) -> None:
        self.dice = random.Random(str(seed))
        self._pieces, self._follows = corpus()
        self._starts = list(self._follows)

    def prose(self, size: int) -> str:
        words, length = [self.dice.choice(self._starts)], 0
        while length < size:
            after = self._follows.get(words[-1])
            words.append(
                self.dice.choice(after)
                if after and self.dice.random() > 0.03
                else self.dice.choice(self._starts)
            )
            length += len(words[-1]) + 1
        return " ".join(words)

    def code(self, size: int) -> str:
        found, length = list[str](), 0
        while length < size:
            found.append(self.dice.choice(self._pieces))
            length += len(found[-1])
        return "".join(found)

    def records(self, size: int) -> str:
        """Return a tool's answer: a list of records in JSON."""
        dice = self.dice
        names = [
            dice.choice(self._starts).strip(".,()'`\":").lower() or "name" for _ in range(dice.randint(4, 9))
        ]
        found, length = list[str](), 0
        while length < size:
            record = {
                "id": self.identifier(),
                "created_at": f"2026-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}T{dice.randint(0, 23):02}:{dice.randint(0, 59):02}:{dice.randint(0, 59):02}Z",
            }
            for number, name in enumerate(names):
                record[name] = (
                    dice.randint(0, 100_000),
                    dice.choice(("open", "closed", "pending")),
                    round(dice.random() * 1000, 2),
                    self.prose(40),
                )[number % 4]  # type: ignore[assignment]  # JSON of any type
            found.append(json.dumps(record))
            length += len(found[-1])
        return f'{{"results": [{", ".join(found)}], "total": {len(found)}}}'

    def identifier(self) -> str:
        return str(UUID(int=self.dice.getrandbits(128), version=4))

    def key(self, prefix: str) -> str:
        return prefix + "".join(
            self.dice.choices("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789", k=24)
        )


@cache
def prompt(kind: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the system prompt of a kind of agent, and its tools' schemas."""
    writer = Writer(f"prompt of {kind}")
    system = writer.prose({"tools": 4000, "coding": 9000, "chat": 800, "rag": 1500, "batch": 600}[kind])
    tools = []
    for _ in range({"tools": 12, "coding": 15}.get(kind, 0)):
        name = writer.key("tool_")[:14]
        properties = {f"field_{n}": {"type": "string", "description": writer.prose(120)} for n in range(4)}
        schema = {"type": "object", "properties": properties, "required": ["field_0"]}
        tools.append({"name": name, "description": writer.prose(500), "schema": schema})
    return system, tools


class Run:
    """One agent's run: makes its calls one after another."""

    def __init__(self, number: int, kind: str, steps: int, seed: int) -> None:
        self.kind, self.steps = kind, steps
        self.writer = Writer((seed, number))
        self._system, self._tools = prompt(kind)
        self._history: list[Any] = []
        self._document = self.writer.prose(25_000) if kind == "batch" else ""
        self.model = {"coding": "claude-sonnet-4-5-20250929", "tools": "gpt-4o"}.get(kind, "gpt-4o-mini")

    def call(self) -> tuple[dict[str, Any], dict[str, Any], str]:
        """Return the next request, its answer, and the path of the URL."""
        return {"coding": self._messages, "chat": self._responses}.get(self.kind, self._chat)()

    def _chat(self) -> tuple[dict[str, Any], dict[str, Any], str]:
        writer, dice = self.writer, self.writer.dice
        head = {"role": "system", "content": self._system}
        if self.kind == "rag":
            found = "\n\n".join(writer.prose(6000) for _ in range(4))
            asked = {"role": "user", "content": writer.prose(150)}
            messages = [head, *self._history, {"role": "user", "content": f"{found}\n\n{asked['content']}"}]
        elif self.kind == "batch":
            asked = {"role": "user", "content": f"{self._document}\n\n{writer.prose(200)}"}
            messages = [head, asked]
        else:
            if not self._history:
                self._history.append({"role": "user", "content": writer.prose(1200)})
            asked = {}
            messages = [head, *self._history]
        request: dict[str, Any] = {"model": self.model, "messages": list(messages), "temperature": 0.2}
        message: dict[str, Any] = {
            "role": "assistant",
            "content": writer.prose(dice.randint(200, 900)),
            "refusal": None,
        }
        if self.kind == "tools":
            request["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": t["name"],
                        "description": t["description"],
                        "parameters": t["schema"],
                    },
                }
                for t in self._tools
            ]
            identifier, tool = writer.key("call_"), dice.choice(self._tools)["name"]
            arguments = json.dumps({"field_0": writer.prose(100), "field_1": writer.identifier()})
            message["tool_calls"] = [
                {"id": identifier, "type": "function", "function": {"name": tool, "arguments": arguments}}
            ]
            sent = {key: value for key, value in message.items() if key != "refusal"}
            result = {
                "role": "tool",
                "tool_call_id": identifier,
                "content": writer.records(int(dice.lognormvariate(7.4, 0.8))),
            }
            self._history += [sent, result]
        elif self.kind == "rag":
            self._history += [asked, {"role": "assistant", "content": message["content"]}]
        answer = {"id": writer.key("chatcmpl-"), "object": "chat.completion", "created": 1_780_000_000, "model": self.model,
                  "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                  "usage": {"prompt_tokens": len(str(messages)) // 4, "completion_tokens": 200, "total_tokens": len(str(messages)) // 4 + 200}}  # fmt: skip
        return request, answer, "/v1/chat/completions"

    def _messages(self) -> tuple[dict[str, Any], dict[str, Any], str]:
        writer, dice = self.writer, self.writer.dice
        if not self._history:
            self._history.append({"role": "user", "content": [{"type": "text", "text": writer.prose(1500)}]})
        last = self._history[-1]
        marked = {
            **last,
            "content": [
                *last["content"][:-1],
                {**last["content"][-1], "cache_control": {"type": "ephemeral"}},
            ],
        }
        tools = [
            {"name": t["name"], "description": t["description"], "input_schema": t["schema"]}
            for t in self._tools
        ]
        request = {
            "model": self.model,
            "max_tokens": 8192,
            "system": self._system,
            "tools": tools,
            "messages": [*self._history[:-1], marked],
        }
        identifier, tool = writer.key("toolu_"), dice.choice(self._tools)["name"]
        edited = {
            "path": f"/src/{writer.key('')[:9]}.py",
            "content": writer.code(int(dice.lognormvariate(6.5, 0.8))),
        }
        content = [
            {"type": "text", "text": writer.prose(250)},
            {"type": "tool_use", "id": identifier, "name": tool, "input": edited},
        ]
        read = writer.code(int(dice.lognormvariate(8.0, 0.9)))
        self._history += [
            {"role": "assistant", "content": content},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": identifier, "content": read}],
            },
        ]
        size = len(str(self._history)) // 4
        usage = {
            "input_tokens": 12,
            "cache_read_input_tokens": size,
            "cache_creation_input_tokens": 900,
            "output_tokens": 300,
        }
        answer = {"id": writer.key("msg_"), "type": "message", "role": "assistant", "model": self.model, "content": content,
                  "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}  # fmt: skip
        return request, answer, "/v1/messages"

    def _responses(self) -> tuple[dict[str, Any], dict[str, Any], str]:
        writer, dice = self.writer, self.writer.dice
        self._history.append({"role": "user", "content": writer.prose(int(dice.lognormvariate(5.5, 0.8)))})
        request = {
            "model": self.model,
            "instructions": self._system,
            "input": list(self._history),
            "store": False,
        }
        text = writer.prose(int(dice.lognormvariate(6.8, 0.6)))
        message = {"id": writer.key("msg_"), "type": "message", "status": "completed", "role": "assistant",
                   "content": [{"type": "output_text", "text": text, "annotations": []}]}  # fmt: skip
        self._history.append({"role": "assistant", "content": text})
        usage = {
            "input_tokens": len(str(self._history)) // 4,
            "output_tokens": 200,
            "total_tokens": len(str(self._history)) // 4 + 200,
        }
        answer = {"id": writer.key("resp_"), "object": "response", "status": "completed", "model": self.model,
                  "output": [message], "usage": usage}  # fmt: skip
        return request, answer, "/v1/responses"


def calls(plan: Plan) -> Iterator[Call]:
    """Yield all calls in the order of their start. A run begins when another one ends."""
    dice = random.Random(plan.seed)
    waiting = iter(range(plan.runs))
    active: dict[int, tuple[Run, int, int]] = {}
    clock = plan.begin_us

    def begin(at: int) -> None:
        number = next(waiting, None)
        if number is not None:
            steps = max(3, int(dice.lognormvariate(0, 0.4) * plan.steps))
            active[number] = (Run(number, plan.kinds[number % len(plan.kinds)], steps, plan.seed), steps, at)

    for _ in range(plan.at_once):
        begin(clock + int(dice.random() * plan.step_seconds * 1e6))
    while active:
        number = min(active, key=lambda one: active[one][2])
        run, left, at = active.pop(number)
        yield _call(plan, number, run, at, run.steps - left)
        after = at + int(dice.lognormvariate(0, 0.6) * plan.step_seconds * 1e6)
        if left > 1:
            active[number] = (run, left - 1, after)
        else:
            begin(after)


def _call(plan: Plan, number: int, run: Run, at: int, step: int) -> Call:
    request, answer, path = run.call()
    host = "https://api.anthropic.com" if run.kind == "coding" else "https://api.openai.com"
    asked = json.dumps(request, separators=(",", ":")).encode()
    record = {
        "protocol_version": 4,
        "provider_trace_id": run.writer.identifier(),
        "org_id": plan.organization,
        "agent_id": f"agent-{run.kind}",
        "step_id": run.writer.identifier(),
        "timestamp": _iso(at),
        "provider": "anthropic" if run.kind == "coding" else "openai",
        "model": run.model,
        "latency_ms": run.writer.dice.randint(400, 9000),
        "status_code": 200,
        "url": host + path,
        "outcome": "ok",
        "request": msgspec.Raw(asked),
        "response": answer,
    }
    if plan.has_run_ids:
        record["run_id"] = f"run-{plan.seed}-{number}"
    return Call(number, at, asked, msgspec.json.encode(record))


def _iso(at_us: int) -> str:
    seconds, us = divmod(at_us, 1_000_000)
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=us).isoformat()
