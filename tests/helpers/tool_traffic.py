"""Runs of agents that call tools, in the shapes of several APIs, with the truth about every call of a tool.

Written from the APIs' references and apart from the code under test. The same seed makes the same traffic: calls
beside each other, steps that are tried again before or after an answer, histories that are forked or compacted, calls
that nobody answers, ids that providers make, ids that servers count, and APIs without ids.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

TOOLS = ("read_file", "search", "run_tests", "mcp__github__create_issue", "mcp__my_db__query", "getWeather2")
ERRORS = (
    "Error: no such file or directory: /srv/app/a.py",
    'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: bad',
    '{"error": {"code": "not_found", "message": "there is no such table"}}',
    '{"success": false, "reason": "rate limited"}',
    "Exit code 1\nFAILED tests/test_a.py",
    "<tool_use_error>String to replace not found</tool_use_error>",
    "ValueError: invalid literal for int()",
    '{"stdout": "", "exit_code": 2}',
)
RESULTS = (
    "12 files, no errors found; the function handle_error() raises nothing.",
    '{"rows": [[1, "error"], [2, "failed"]], "error": null, "status": "ok"}',
    "All tests passed. 0 failed, 0 errors.",
    '{"temperature": 21, "exit_code": 0}',
    "Errors are handled in errors.py; see the section on failed requests.",
    "[]",
)


@dataclass
class Called:
    """One call of a tool, and what is true of it."""

    name: str
    arguments: Json
    id: str
    """As the API spells it; empty for APIs without ids."""
    place: int
    """Number among the calls of this name in the answer."""
    row: str = ""
    result: str = ""
    source: str = ""
    """Of an error: ``api`` or ``text``."""
    asked_ms: int = 0
    answered_by: str = ""
    seconds: float = 0.0
    is_repeated: bool = False


@dataclass
class Message:
    """One message: of the user, of the model, or the results of the calls before it."""

    role: str
    text: str = ""
    calls: list[Called] = field(default_factory=list)
    answer_id: str = ""


@dataclass
class Traffic:
    """Records as the client sends them, and the truth."""

    records: list[Json] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)


Render = Callable[[list[Message]], Json]


class Shape:
    """An API: how it spells a history and an answer."""

    name = ""
    provider = ""
    url = ""
    says_errors = False
    has_ids = True

    def request(self, history: list[Message]) -> Json:
        raise NotImplementedError

    def answer(self, message: Message) -> Json:
        raise NotImplementedError

    def call_id(self, dice: random.Random, place: int) -> str:
        return "call_" + _letters(dice, 24)


def _letters(dice: random.Random, count: int) -> str:
    return "".join(dice.choices(string.ascii_letters + string.digits, k=count))


def _text(value: Json) -> str:
    return json.dumps(value)


SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
SYSTEM = "You are an agent that works with tools. It is now {}."


class Chat(Shape):
    name, provider, url = "chat", "openai", "https://api.openai.com/v1/chat/completions"

    def request(self, history: list[Message]) -> Json:
        messages: list[Json] = [{"role": "system", "content": SYSTEM.format(len(history))}]
        for one in history:
            if one.role == "results":
                messages += [
                    {"role": "tool", "tool_call_id": call.id, "content": call.result} for call in one.calls
                ]
            elif one.role == "model":
                messages.append(self._said(one))
            else:
                messages.append({"role": "user", "content": one.text})
        tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in TOOLS]
        return {"model": "gpt-4o", "messages": messages, "tools": tools}

    def _said(self, one: Message) -> Json:
        said: Json = {"role": "assistant", "content": one.text or None}
        if one.calls:
            said["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": _text(call.arguments)},
                }
                for call in one.calls
            ]
        return said

    def answer(self, message: Message) -> Json:
        return {
            "id": message.answer_id,
            "object": "chat.completion",
            "model": "gpt-4o",
            "choices": [{"index": 0, "finish_reason": "stop", "message": self._said(message)}],
            "usage": {"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930},
        }


class Counted(Chat):
    """A server of its own that counts the calls of each answer from 0."""

    name, provider, url = "counted", "vllm", "https://models.example/v1/chat/completions"

    def call_id(self, dice: random.Random, place: int) -> str:
        return f"call_{place}"


class Messages(Shape):
    name, provider, url = "messages", "anthropic", "https://api.anthropic.com/v1/messages"
    says_errors = True

    def call_id(self, dice: random.Random, place: int) -> str:
        return "toolu_01" + _letters(dice, 22)

    def request(self, history: list[Message]) -> Json:
        messages: list[Json] = []
        for one in history:
            if one.role == "results":
                blocks = [self._result(call) for call in one.calls]
                messages.append({"role": "user", "content": blocks})
            elif one.role == "model":
                messages.append({"role": "assistant", "content": self._blocks(one)})
            elif messages and messages[-1]["role"] == "user" and isinstance(messages[-1]["content"], list):
                messages[-1]["content"].append({"type": "text", "text": one.text})
            else:
                messages.append({"role": "user", "content": one.text})
        tools = [{"name": name, "input_schema": SCHEMA} for name in TOOLS]
        system = [{"type": "text", "text": SYSTEM.format("today"), "cache_control": {"type": "ephemeral"}}]
        return {
            "model": "claude-sonnet-4-5",
            "max_tokens": 900,
            "system": system,
            "messages": messages,
            "tools": tools,
        }

    def _result(self, call: Called) -> Json:
        block: Json = {"type": "tool_result", "tool_use_id": call.id, "content": call.result}
        return {**block, "is_error": True} if call.source == "api" else block

    def _blocks(self, one: Message) -> list[Json]:
        text: list[Json] = [{"type": "text", "text": one.text}] if one.text else []
        calls = [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
            for call in one.calls
        ]
        return text + calls

    def answer(self, message: Message) -> Json:
        return {
            "id": message.answer_id,
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": self._blocks(message),
            "stop_reason": "tool_use" if message.calls else "end_turn",
            "usage": {"input_tokens": 900, "output_tokens": 30},
        }


class Gemini(Shape):
    name, provider = "gemini", "google"
    url = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent"
    has_ids = False

    def call_id(self, dice: random.Random, place: int) -> str:
        return ""

    def request(self, history: list[Message]) -> Json:
        contents: list[Json] = []
        for one in history:
            if one.role == "results":
                said = [
                    {"functionResponse": {"name": call.name, "response": {"result": call.result}}}
                    for call in one.calls
                ]
                contents.append({"role": "user", "parts": said})
            elif one.role == "model":
                contents.append({"role": "model", "parts": self._parts(one)})
            else:
                contents.append({"role": "user", "parts": [{"text": one.text}]})
        declared = [{"name": name, "parameters": SCHEMA} for name in TOOLS]
        return {"contents": contents, "tools": [{"functionDeclarations": declared}]}

    def _parts(self, one: Message) -> list[Json]:
        text: list[Json] = [{"text": one.text}] if one.text else []
        return text + [{"functionCall": {"name": call.name, "args": call.arguments}} for call in one.calls]

    def answer(self, message: Message) -> Json:
        content = {"role": "model", "parts": self._parts(message)}
        return {
            "responseId": message.answer_id,
            "modelVersion": "gemini-2.5-pro",
            "candidates": [{"index": 0, "finishReason": "STOP", "content": content}],
            "usageMetadata": {"promptTokenCount": 900, "candidatesTokenCount": 30, "totalTokenCount": 930},
        }


class Converse(Shape):
    name, provider = "converse", "bedrock"
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-pro-v1%3A0/converse"
    says_errors = True

    def call_id(self, dice: random.Random, place: int) -> str:
        return "tooluse_" + _letters(dice, 22)

    def request(self, history: list[Message]) -> Json:
        messages: list[Json] = []
        for one in history:
            if one.role == "results":
                messages.append({"role": "user", "content": [self._result(call) for call in one.calls]})
            elif one.role == "model":
                messages.append({"role": "assistant", "content": self._blocks(one)})
            else:
                messages.append({"role": "user", "content": [{"text": one.text}]})
        tools = [{"toolSpec": {"name": name, "inputSchema": {"json": SCHEMA}}} for name in TOOLS]
        return {"messages": messages, "toolConfig": {"tools": tools}}

    def _result(self, call: Called) -> Json:
        inside: Json = {"toolUseId": call.id, "content": [{"text": call.result}]}
        return {"toolResult": {**inside, "status": "error"} if call.source == "api" else inside}

    def _blocks(self, one: Message) -> list[Json]:
        text: list[Json] = [{"text": one.text}] if one.text else []
        return text + [
            {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}}
            for call in one.calls
        ]

    def answer(self, message: Message) -> Json:
        return {
            "output": {"message": {"role": "assistant", "content": self._blocks(message)}},
            "stopReason": "tool_use" if message.calls else "end_turn",
            "usage": {"inputTokens": 900, "outputTokens": 30, "totalTokens": 930},
        }


class Responses(Shape):
    """The whole history in every request; each call and its result beside each other."""

    name, provider, url = "responses", "openai", "https://api.openai.com/v1/responses"

    def request(self, history: list[Message]) -> Json:
        items: list[Json] = []
        for number, one in enumerate(history):
            if one.role == "results":
                if number == 0 or history[number - 1].role != "model":
                    items += map(self._result, one.calls)
            elif one.role == "model":
                items += self._said(one)
                following = history[number + 1] if number + 1 < len(history) else None
                for call in one.calls:
                    items.append(self._call(call))
                    if following is not None and following.role == "results":
                        items.append(self._result(call))
            else:
                items.append({"role": "user", "content": one.text})
        tools = [{"type": "function", "name": name, "parameters": SCHEMA} for name in TOOLS]
        return {"model": "gpt-5", "input": items, "tools": tools, "store": False}

    def _result(self, call: Called) -> Json:
        return {"type": "function_call_output", "call_id": call.id, "output": call.result}

    def _call(self, call: Called) -> Json:
        return {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": _text(call.arguments),
        }

    def _said(self, one: Message) -> list[Json]:
        content = [{"type": "output_text", "text": one.text, "annotations": []}]
        return [{"type": "message", "role": "assistant", "content": content}] if one.text else []

    def answer(self, message: Message) -> Json:
        calls = [
            {**self._call(call), "id": f"fc_{message.answer_id}", "status": "completed"}
            for call in message.calls
        ]
        return {
            "id": message.answer_id,
            "object": "response",
            "status": "completed",
            "model": "gpt-5",
            "output": [*self._said(message), *calls],
            "usage": {"input_tokens": 900, "output_tokens": 30, "total_tokens": 930},
        }


class Kept(Responses):
    """The provider keeps the history; a request has what is new."""

    name = "kept"

    def request(self, history: list[Message]) -> Json:
        last = max((n for n, one in enumerate(history) if one.role == "model"), default=None)
        if last is None:
            return {**super().request(history), "store": True}
        new = super().request(history[last + 1 :])
        return {**new, "store": True, "previous_response_id": history[last].answer_id}


SHAPES: tuple[Shape, ...] = (Chat(), Messages(), Gemini(), Converse(), Responses(), Kept(), Counted())
START_MS = int(datetime(2026, 11, 20, 8, tzinfo=UTC).timestamp() * 1000)


class _Run:
    """One agent's run."""

    def __init__(self, traffic: Traffic, shape: Shape, number: int, dice: random.Random) -> None:
        self._traffic = traffic
        self._shape = shape
        self._number = number
        self._dice = dice
        self._now_ms = START_MS + number * 977_000
        self._made: list[Called] = []
        """The calls that one may be a repetition of."""

    def play(self) -> None:
        task = f"Task {self._number}: look into incident {self._dice.randrange(10**9)} and report."
        self._steps([Message("user", task)], self._dice.randint(3, 9), may_fork=True)

    def _steps(self, history: list[Message], count: int, *, may_fork: bool) -> None:
        for step in range(count):
            is_last = step == count - 1
            said = self._asked(history, may_call=not is_last)
            history = [*history, said]
            if is_last or not said.calls:
                return
            self._now_ms += self._dice.randint(50, 20_000)
            for call in said.calls:
                call.result, call.source = self._result()
            history = [*history, Message("results", calls=said.calls)]
            if step == count - 2 and self._dice.random() < 0.1:
                for call in said.calls:
                    call.result = call.source = ""
                return  # the run ends before the results are sent
            if may_fork and self._dice.random() < 0.08:
                self._steps(
                    [*history, Message("user", f"Try it another way, number {step}.")], 2, may_fork=False
                )
                self._now_ms += 500
            elif self._dice.random() < 0.08:
                self._steps(history, 1, may_fork=False)
                summary = (
                    f"Summary of task {self._number} until step {step}: {self._dice.randrange(10**9)}. Go on."
                )
                history, self._made = [Message("user", summary)], []

    def _result(self) -> tuple[str, str]:
        if self._dice.random() > 0.2:
            return f"{self._dice.choice(RESULTS)}", ""
        text = self._dice.choice(ERRORS)
        if self._shape.says_errors and self._dice.random() < 0.6:
            return self._dice.choice([text, "the disk is full"]), "api"
        return text, "text"

    def _asked(self, history: list[Message], *, may_call: bool) -> Message:
        """Ask the model, again where that fails or its answer is lost; return what it said."""
        if self._dice.random() < 0.06:
            self._exchange(history, None, is_error=True)
            self._now_ms += self._dice.randint(500, 4000)
        if self._dice.random() < 0.05:
            self._exchange(history, self._said(history, may_call=may_call))
            self._now_ms += self._dice.randint(500, 4000)
        said = self._said(history, may_call=may_call)
        self._exchange(history, said)
        return said

    def _said(self, history: list[Message], *, may_call: bool) -> Message:
        calls: list[Called] = []
        if may_call:
            for place in range(self._dice.choice([1, 1, 1, 2, 3])):
                calls.append(self._call(place, calls))
        text = (
            f"I look at part {self._dice.randrange(10**6)} of it."
            if not calls or self._dice.random() < 0.5
            else ""
        )
        return Message("model", text, calls, f"{self._shape.name}_{_letters(self._dice, 24)}")

    def _call(self, place: int, others: list[Called]) -> Called:
        is_repeated = bool(self._made) and self._shape.name != "kept" and self._dice.random() < 0.08
        if is_repeated:
            before = self._dice.choice(self._made)
            name, arguments = before.name, before.arguments
        else:
            name = self._dice.choice(TOOLS)
            arguments = {"q": f"find {self._dice.randrange(10**9)}", "limit": self._dice.randint(1, 50)}
        made = Called(
            name,
            arguments,
            self._shape.call_id(self._dice, place),
            sum(other.name == name for other in others),
            is_repeated=is_repeated,
        )
        self._made.append(made)
        return made

    def _exchange(self, history: list[Message], said: Message | None, *, is_error: bool = False) -> None:
        row = f"row-{len(self._traffic.records):05}"
        latency_ms = self._dice.randint(200, 6000)
        self._note_results(history, row)
        record: Json = {
            "protocol_version": 4,
            "provider_trace_id": row,
            "org_id": f"org-{self._number % 3}",
            "agent_id": f"agent-{self._number % 5}",
            "run_id": "",
            "timestamp": datetime.fromtimestamp(self._now_ms / 1000, UTC).isoformat(),
            "latency_ms": latency_ms,
            "provider": self._shape.provider,
            "url": self._shape.url,
            "status_code": 429 if is_error else 200,
            "request": self._shape.request(history),
            "response": {"error": {"type": "rate_limit", "message": "slow down"}}
            if said is None
            else self._shape.answer(said),
        }
        if is_error:
            record["outcome"] = "error"
        self._traffic.records.append(record)
        self._now_ms += latency_ms
        for call in said.calls if said else []:
            call.row, call.asked_ms = row, self._now_ms
            self._traffic.calls.append(call)

    def _note_results(self, history: list[Message], row: str) -> None:
        """The first request that has a result brings it."""
        for message in history:
            for call in message.calls if message.role == "results" else ():
                if not call.answered_by:
                    call.answered_by = row
                    call.seconds = (self._now_ms - call.asked_ms) / 1000


def traffic(calls: int, seed: int = 7) -> Traffic:
    """Return traffic with so many calls of tools, or a few more."""
    dice = random.Random(seed)
    found = Traffic()
    number = 0
    while len(found.calls) < calls:
        _Run(found, SHAPES[number % len(SHAPES)], number, dice).play()
        number += 1
    return found
