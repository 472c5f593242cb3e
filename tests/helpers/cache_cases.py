"""Labelled calls for cache misses: healthy runs of five providers, and runs with one planted cause each.

Made without the code under test: the generator plays the provider's cache by what its documentation says, so that a
call's counts are those that the provider would report. Seeded.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

PROVIDERS = ("anthropic", "openai", "gemini", "bedrock", "deepseek")
CAUSES = (
    "tools_changed", "system_changed", "history_changed", "model_changed", "tier_changed", "expired", "too_short",
    "mark_moved", "in_flight",
)  # fmt: skip
MODELS = {
    "anthropic": ("claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"),
    "openai": ("gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14"),
    "gemini": ("gemini-2.5-flash", "gemini-2.5-pro"),
    "bedrock": (
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    "deepseek": ("deepseek-chat", "deepseek-reasoner"),
}
URLS = {
    "anthropic": "https://api.anthropic.com/v1/messages",
    "openai": "https://api.openai.com/v1/chat/completions",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/models/{model}:generateContent",
    "bedrock": "https://bedrock-runtime.us-east-1.amazonaws.com/model/{model}/converse",
    "deepseek": "https://api.deepseek.com/chat/completions",
}
MARKED = ("anthropic", "bedrock")
MINIMA = {"anthropic": 1024, "openai": 1024, "gemini": 2048, "bedrock": 1024, "deepseek": 64}
STEPS = {"openai": 128, "deepseek": 64}
LIVES = {"anthropic": 300, "openai": 600, "gemini": 3600, "bedrock": 300, "deepseek": 86_400}
# Dollars for a million tokens: fresh, read, written (price pages of the providers, as genai-prices lists them).
RATES = {
    "claude-sonnet-4-5-20250929": (3, 0.3, 3.75),
    "claude-haiku-4-5-20251001": (1, 0.1, 1.25),
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": (3.3, 0.33, 4.125),
    "us.anthropic.claude-haiku-4-5-20251001-v1:0": (1.1, 0.11, 1.375),
    "gpt-4.1-2025-04-14": (2, 0.5, 2),
    "gpt-4.1-mini-2025-04-14": (0.4, 0.1, 0.4),
    "gemini-2.5-flash": (0.3, 0.03, 0.3),
    "gemini-2.5-pro": (1.25, 0.125, 1.25),
}
TEXT = (
    "the report of a river that was measured in spring and again later when water had fallen by half so people wrote"
    " down what each station showed and sent their tables to an office which drew curves from them for engineers"
)
WORDS = TEXT.split()


class Labelled(NamedTuple):
    """A record, and what is known of it."""

    record: dict[str, Any]
    cause: str
    """"" of a healthy call."""
    lost_tokens: int = 0
    lost_usd: float | None = None
    place: Mapping[str, Any] = MappingProxyType({})


class Message(NamedTuple):
    role: str
    text: str
    calls: tuple[tuple[str, str, dict[str, str]], ...] = ()
    result_of: str = ""


class Run:
    """One agent's run: its prompt, its messages, and what the provider's cache holds of it."""

    def __init__(self, rng: random.Random, provider: str, start: dt.datetime) -> None:
        self.rng, self.provider, self.at = rng, provider, start
        self.model = MODELS[provider][0]
        self.tier = ""
        self.tools = [self._tool(f"tool_{n}_{rng.randrange(1000)}") for n in range(rng.randint(2, 8))]
        self.system = self.prose(rng.randint(1500, 3000))
        self.messages = [Message("user", self.prose(rng.randint(40, 200)))]
        self.answer: Message | None = None
        self.marks: str = "last"
        self.is_head_marked = False
        self.left = 0
        self.latency = 2.0
        self.agent = f"agent-{rng.randrange(10**9)}"

    def prose(self, words: int) -> str:
        return " ".join(self.rng.choice(WORDS) for _ in range(words)) + "."

    def _tool(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "description": self.prose(self.rng.randint(20, 60)),
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
            },
        }

    def tokens(self, messages: list[Message] | None = None) -> int:
        """Tokens as the made-up provider counts them: a number that depends on the text alone."""
        whole = json.dumps(self.tools) + self.system
        whole += "".join(one.text + json.dumps(one.calls) for one in (messages or self.messages))
        return len(whole) // 4 + 11

    def grow(self, words: int | None = None) -> None:
        """Add the answer and what follows it: a tool's result, or the user's next message."""
        assert self.answer is not None
        self.messages.append(self.answer)
        text = self.prose(words or self.rng.randint(30, 400))
        if self.answer.calls:
            self.messages += [Message("tool", text, result_of=one[0]) for one in self.answer.calls]
        else:
            self.messages.append(Message("user", text))

    def step(self, read: int, *, cause: str = "", seconds: float | None = None, **label: Any) -> Labelled:
        """Send the messages as they are; the provider says that it has read so many tokens from its cache."""
        self.at += dt.timedelta(seconds=self.rng.uniform(3, 40) if seconds is None else seconds)
        prompt = self.tokens()
        is_short = prompt < MINIMA[self.provider]
        is_marking = self.provider in MARKED and self.marks and not is_short
        written = max(0, self._marked_tokens() - read) if is_marking else 0
        calls: tuple[tuple[str, str, dict[str, str]], ...] = ()
        if self.rng.random() < 0.6:
            names = self.rng.sample(self.tools, min(len(self.tools), self.rng.choice((1, 1, 2))))
            calls = tuple(
                (
                    f"call_{uuid.UUID(int=self.rng.getrandbits(128)).hex}",
                    one["name"],
                    {"query": self.prose(5)},
                )
                for one in names
            )
        self.answer = Message("assistant", self.prose(self.rng.randint(10, 60)), calls)
        record = self._record(prompt, read, written)
        could, self.left = self.left, self._left(prompt, read, written)
        lost = int(label.pop("could", could)) - read
        usd = (
            self._dollars(lost, written) if cause and cause != "tier_changed" else None
        )  # other tiers' are not listed
        return Labelled(record, cause, lost if cause else 0, usd, label)

    def _dollars(self, lost: int, written: int) -> float | None:
        if self.model not in RATES:
            return None
        fresh, read, write = RATES[self.model]
        rewritten = min(lost, written)
        return ((lost - rewritten) * (fresh - read) + rewritten * (write - read)) / 1e6

    def _marked_tokens(self) -> int:
        if self.marks == "last":
            return self.tokens()
        return self.tokens(self.messages[: int(self.marks)])

    def _left(self, prompt: int, read: int, written: int) -> int:
        if self.provider in MARKED:
            return read + written
        step = STEPS.get(self.provider, 1)
        return prompt // step * step

    def healthy_read(self) -> int:
        """What the provider reads where nothing has changed."""
        return self.left if self.left >= MINIMA[self.provider] else 0

    def _record(self, prompt: int, read: int, written: int) -> dict[str, Any]:
        request, response = getattr(self, f"_{self.provider}")(prompt, read, written)
        return {
            "protocol_version": 4,
            "provider_trace_id": f"provider_trace-{uuid.UUID(int=self.rng.getrandbits(128), version=4)}",
            "org_id": "org-cache",
            "agent_id": self.agent,
            "type": "agent_step",
            "url": URLS[self.provider].format(model=self.model),
            "status_code": 200,
            "latency_ms": self.latency * 1000,
            "timestamp": self.at.isoformat(),
            "request": request,
            "response": response,
        }

    def _anthropic(self, prompt: int, read: int, written: int) -> tuple[Any, Any]:
        messages: list[dict[str, Any]] = []
        for number, one in enumerate(self.messages):
            blocks: list[dict[str, Any]] = [{"type": "text", "text": one.text}]
            if one.result_of:
                blocks = [{"type": "tool_result", "tool_use_id": one.result_of, "content": one.text}]
            blocks += [
                {"type": "tool_use", "id": call, "name": name, "input": given}
                for call, name, given in one.calls
            ]
            if self._is_marked(number):
                blocks[-1]["cache_control"] = {"type": "ephemeral"}
            role = "user" if one.role == "tool" else one.role
            if one.result_of and messages and messages[-1]["role"] == "user":
                messages[-1]["content"] += blocks
            else:
                messages.append({"role": role, "content": blocks})
        tools = [
            {"name": t["name"], "description": t["description"], "input_schema": t["parameters"]}
            for t in self.tools
        ]
        request = {
            "model": self.model,
            "max_tokens": 2000,
            "system": self.system,
            "tools": tools,
            "messages": messages,
        }
        if self.is_head_marked:
            mark = {"type": "ephemeral"}
            request["system"] = [{"type": "text", "text": self.system, "cache_control": mark}]
        assert self.answer is not None
        said = [{"type": "text", "text": self.answer.text}]
        said += [{"type": "tool_use", "id": c, "name": n, "input": g} for c, n, g in self.answer.calls]  # type: ignore[dict-item]
        usage = {
            "input_tokens": prompt - read - written,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": 50,
            **({"service_tier": self.tier} if self.tier else {"service_tier": "standard"}),
        }
        response = {
            "id": f"msg_{self.rng.getrandbits(60)}", "type": "message", "role": "assistant", "model": self.model,
            "content": said, "stop_reason": "tool_use" if self.answer.calls else "end_turn", "usage": usage,
        }  # fmt: skip
        return request, response

    def _is_marked(self, number: int) -> bool:
        if not self.marks:
            return False
        return number == (len(self.messages) if self.marks == "last" else int(self.marks)) - 1

    def _openai(self, prompt: int, read: int, _written: int) -> tuple[Any, Any]:
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.system}]
        messages += [self._chat_message(one) for one in self.messages]
        tools = [{"type": "function", "function": tool} for tool in self.tools]
        request = {"model": self.model, "messages": messages, "tools": tools}
        if self.tier:
            request["service_tier"] = self.tier
        assert self.answer is not None
        usage = {
            "prompt_tokens": prompt, "completion_tokens": 50, "total_tokens": prompt + 50,
            "prompt_tokens_details": {"cached_tokens": read},
        }  # fmt: skip
        response = {
            "id": f"chatcmpl-{self.rng.getrandbits(60)}", "object": "chat.completion", "model": self.model,
            "choices": [{"index": 0, "finish_reason": "stop", "message": self._chat_message(self.answer)}],
            "usage": usage, "service_tier": self.tier or "default",
        }  # fmt: skip
        return request, response

    def _deepseek(self, prompt: int, read: int, written: int) -> tuple[Any, Any]:
        request, response = self._openai(prompt, read, written)
        response["usage"] = {
            "prompt_tokens": prompt, "completion_tokens": 50, "total_tokens": prompt + 50,
            "prompt_cache_hit_tokens": read, "prompt_cache_miss_tokens": prompt - read,
        }  # fmt: skip
        return request, response

    @staticmethod
    def _chat_message(one: Message) -> dict[str, Any]:
        if one.result_of:
            return {"role": "tool", "tool_call_id": one.result_of, "content": one.text}
        calls = [
            {"id": call, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for call, name, given in one.calls
        ]
        return {"role": one.role, "content": one.text, **({"tool_calls": calls} if calls else {})}

    def _gemini(self, prompt: int, read: int, _written: int) -> tuple[Any, Any]:
        contents: list[dict[str, Any]] = []
        names = {call: name for one in self.messages for call, name, _ in one.calls}
        for one in self.messages:
            parts: list[dict[str, Any]] = [{"text": one.text}]
            if one.result_of:
                parts = [
                    {"functionResponse": {"name": names[one.result_of], "response": {"output": one.text}}}
                ]
            parts += [{"functionCall": {"name": name, "args": given}} for _, name, given in one.calls]
            role = {"assistant": "model"}.get(one.role, "user")
            if one.result_of and contents[-1]["role"] == "user":
                contents[-1]["parts"] += parts
            else:
                contents.append({"role": role, "parts": parts})
        request = {
            "contents": contents,
            "systemInstruction": {"parts": [{"text": self.system}]},
            "tools": [{"functionDeclarations": list(self.tools)}],
        }
        assert self.answer is not None
        said: list[dict[str, Any]] = [{"text": self.answer.text}]
        said += [{"functionCall": {"name": name, "args": given}} for _, name, given in self.answer.calls]
        usage: dict[str, Any] = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": 50,
            "totalTokenCount": prompt + 50,
        }
        usage["cachedContentTokenCount"] = read
        if self.tier:
            usage["trafficType"] = self.tier
        response = {
            "candidates": [{"content": {"role": "model", "parts": said}, "finishReason": "STOP"}],
            "usageMetadata": usage, "modelVersion": self.model, "responseId": f"r{self.rng.getrandbits(60)}",
        }  # fmt: skip
        return request, response

    def _bedrock(self, prompt: int, read: int, written: int) -> tuple[Any, Any]:
        messages: list[dict[str, Any]] = []
        for number, one in enumerate(self.messages):
            blocks: list[dict[str, Any]] = [{"text": one.text}]
            if one.result_of:
                blocks = [{"toolResult": {"toolUseId": one.result_of, "content": [{"text": one.text}]}}]
            blocks += [{"toolUse": {"toolUseId": c, "name": n, "input": g}} for c, n, g in one.calls]
            if self._is_marked(number):
                blocks.append({"cachePoint": {"type": "default"}})
            role = "user" if one.role == "tool" else one.role
            if one.result_of and messages[-1]["role"] == "user":
                messages[-1]["content"] += blocks
            else:
                messages.append({"role": role, "content": blocks})
        tools = [
            {
                "toolSpec": {
                    "name": t["name"],
                    "description": t["description"],
                    "inputSchema": {"json": t["parameters"]},
                }
            }
            for t in self.tools
        ]
        request: dict[str, Any] = {
            "system": [{"text": self.system}], "messages": messages, "toolConfig": {"tools": tools},
        }  # fmt: skip
        if self.is_head_marked:
            request["system"].append({"cachePoint": {"type": "default"}})
        if self.tier:
            request["serviceTier"] = {"type": self.tier}
        assert self.answer is not None
        said: list[dict[str, Any]] = [{"text": self.answer.text}]
        said += [{"toolUse": {"toolUseId": c, "name": n, "input": g}} for c, n, g in self.answer.calls]
        response = {
            "output": {"message": {"role": "assistant", "content": said}}, "stopReason": "end_turn",
            "usage": {
                "inputTokens": prompt - read - written, "outputTokens": 50, "totalTokens": prompt + 50,
                "cacheReadInputTokens": read, "cacheWriteInputTokens": written,
            },
        }  # fmt: skip
        if self.tier:
            response["serviceTier"] = {"type": self.tier}
        return request, response


def healthy(rng: random.Random, provider: str, start: dt.datetime, steps: int) -> list[Labelled]:
    """A run that reads all that it can."""
    run = Run(rng, provider, start)
    found = [run.step(0)]
    for _ in range(steps - 1):
        run.grow(rng.choice((None, None, 2000)))
        found.append(run.step(run.healthy_read()))
    return found


def planted(rng: random.Random, provider: str, cause: str, start: dt.datetime) -> list[Labelled]:
    """A healthy run whose last call has one thing wrong with it."""
    if cause == "mark_moved" and provider not in MARKED:  # others have no marks
        provider = rng.choice(MARKED)
    if cause == "too_short" and provider == "deepseek":  # whose minimum is too small to matter
        provider = "openai"
    run = Run(rng, provider, start)
    if cause == "too_short":
        return _too_short(run)
    found = [run.step(0)]
    for _ in range(rng.randint(1, 4)):
        run.grow()
        found.append(run.step(run.healthy_read()))
    return [*found, *PLANTERS[cause](run)]


def _too_short(run: Run) -> list[Labelled]:
    rng = run.rng
    run.tools = run.tools[:1]
    run.system = run.prose(rng.randint(350, 450))
    first = run.step(0)
    could = run.tokens() // STEPS.get(run.provider, 1) * STEPS.get(run.provider, 1)
    run.grow(20)
    return [first, run.step(0, cause="too_short", could=could)]


def _tools(run: Run) -> list[Labelled]:
    rng = run.rng
    change = rng.choice(("added", "removed", "edited", "reordered"))
    at = rng.randrange(len(run.tools))
    name = run.tools[at]["name"]
    if change == "added":
        name = "a_new_tool"
        run.tools.insert(at, run._tool(name))
    elif change == "removed":
        del run.tools[at]
    elif change == "edited":
        run.tools[at] = {**run.tools[at], "description": run.prose(40)}
    else:
        at = 0
        run.tools = [run.tools[-1], *run.tools[:-1]]
        name = run.tools[0]["name"]
    run.grow()
    return [run.step(0, cause="tools_changed", part="tools", change=change, tool=name, index=at)]


def _system(run: Run) -> list[Labelled]:
    rng = run.rng
    kind = rng.choice(("clock", "uuid", "words"))
    words = run.system.split(" ")
    at = rng.randrange(len(words) // 4, len(words) - 1)
    offset = len(" ".join(words[:at])) + 1
    new = {
        "clock": "2026-11-21 08:15:02",
        "uuid": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "words": "zebra",
    }
    words[at] = new[kind]
    before, run.system = run.system, " ".join(words)
    offset += next(
        i
        for i in range(1000)
        if before[offset + i : offset + i + 1] != run.system[offset + i : offset + i + 1]
    )
    run.grow()
    label: dict[str, Any] = {"suspect": kind} if kind != "words" else {}
    return [run.step(0, cause="system_changed", part="system", offset=offset, **label)]


def _history(run: Run) -> list[Labelled]:
    rng = run.rng
    users = [number for number, one in enumerate(run.messages) if one.role == "user"]
    at = rng.choice(users[: max(1, len(users) - 1)])
    run.grow()
    words = len(run.messages[at].text.split(" "))
    run.messages[at] = Message("user", " ".join(reversed(run.prose(words).split(" "))))
    shown = at
    if run.provider in ("openai", "deepseek"):
        shown = at + 1  # the system prompt is a message
    elif run.provider in ("anthropic", "bedrock", "gemini"):
        shown = _merged_index(run.messages, at)
    head = 0
    return [run.step(head, cause="history_changed", part="messages", change="edited", index=shown)]


def _merged_index(messages: list[Message], at: int) -> int:
    """Number of a message where results of parallel calls are one message."""
    index = -1
    for number in range(at + 1):
        is_joined = messages[number].result_of and number and messages[number - 1].role in ("tool", "user")
        index += not is_joined
    return index


def _model(run: Run) -> list[Labelled]:
    run.grow()
    run.model = MODELS[run.provider][1]
    return [run.step(0, cause="model_changed")]


def _tier(run: Run) -> list[Labelled]:
    run.grow()
    run.tier = {
        "gemini": "PROVISIONED_THROUGHPUT",
        "bedrock": "priority",
        "deepseek": "flex",
        "openai": "flex",
    }.get(run.provider, "priority")
    return [run.step(0, cause="tier_changed")]


def _expired(run: Run) -> list[Labelled]:
    run.grow()
    return [run.step(0, cause="expired", seconds=LIVES[run.provider] * run.rng.uniform(1.2, 5))]


def _mark(run: Run) -> list[Labelled]:
    if run.rng.random() < 0.5:
        run.grow()
        run.marks = ""
        return [run.step(0, cause="mark_moved")]
    # More than 20 blocks at once: an answer with many parallel calls.
    many = tuple(
        (f"call_{run.rng.getrandbits(100)}", run.tools[0]["name"], {"query": run.prose(5)}) for _ in range(12)
    )
    assert run.answer is not None
    run.grow()
    found = run.step(run.healthy_read())
    run.answer = Message("assistant", run.prose(10), many)
    _answer_with(found.record, run)
    run.grow(12)
    return [found, run.step(0, cause="mark_moved")]


def _answer_with(record: dict[str, Any], run: Run) -> None:
    """Put another answer into a record."""
    answer = run.answer
    assert answer is not None
    if run.provider == "anthropic":
        record["response"]["content"] = [{"type": "text", "text": answer.text}] + [
            {"type": "tool_use", "id": c, "name": n, "input": g} for c, n, g in answer.calls
        ]
    else:
        record["response"]["output"]["message"]["content"] = [{"text": answer.text}] + [
            {"toolUse": {"toolUseId": c, "name": n, "input": g}} for c, n, g in answer.calls
        ]


def _in_flight(run: Run) -> list[Labelled]:
    """Two calls in parallel that share a long new beginning: the second cannot read what the first writes."""
    twin = Run(run.rng, run.provider, run.at)
    twin.system, twin.tools = twin.prose(4000), twin.tools
    twin.latency = 20
    twin.is_head_marked = True  # an entry ends at a mark
    first = twin.step(0)
    step = STEPS.get(twin.provider, 1)
    shared = twin.tokens([Message("user", "")]) // step * step
    twin.messages = [Message("user", twin.prose(30))]
    second = twin.step(0, cause="in_flight", seconds=1.5, could=shared)
    return [first, second]


PLANTERS: dict[str, Callable[[Run], list[Labelled]]] = {
    "tools_changed": _tools, "system_changed": _system, "history_changed": _history, "model_changed": _model,
    "tier_changed": _tier, "expired": _expired, "mark_moved": _mark, "in_flight": _in_flight,
}  # fmt: skip


def cases(seed: int, start: dt.datetime, each: int = 12, healthy_runs: int = 100) -> list[Labelled]:
    """Return the calls of planted and of healthy runs: ``each`` of every provider and cause."""
    rng = random.Random(seed)
    found: list[Labelled] = []
    for provider in PROVIDERS:
        for cause in CAUSES:
            for _ in range(each):
                found += planted(rng, provider, cause, start + dt.timedelta(minutes=rng.randrange(600)))
        for _ in range(healthy_runs // len(PROVIDERS)):
            found += healthy(
                rng, provider, start + dt.timedelta(minutes=rng.randrange(600)), rng.randint(3, 8)
            )
    return found
