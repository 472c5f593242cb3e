"""Generated calls for ``llmledger demo``: requests and answers as the providers write them. Pure.

Invariants:
- A call is the wire's record of an exchange, and nothing in it says what it costs: usage and cost are
  read from the answer by the code that reads real ones.
- The same seed, count, span and end make the same calls.
- Every record has ``MARK`` as its ``source``, by which the rows are known and removed.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from math import exp
from typing import Any, Final

import msgspec

from llmledgerd.records.timestamps import EPOCH

MARK: Final = "llmledger-demo"
ORGANIZATIONS: Final = tuple(f"demo-{number:02}" for number in range(12))
RUN_CALLS: Final = 12
"""Calls of one run of an agent."""

Body = dict[str, Any]


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls, and when they start."""

    calls: int
    days: float
    end_us: int
    """When the last call starts, in microseconds since 1970."""
    organizations: tuple[str, ...] = ORGANIZATIONS
    """The first has the most calls."""
    seed: int = 1


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of one call: ``cached`` is part of ``prompt``, ``reasoning`` part of ``completion``."""

    prompt: int
    cached: int
    completion: int
    reasoning: int


class Model(msgspec.Struct, frozen=True):
    """A model that the calls use."""

    provider: str
    name: str
    url: str
    first_ms: int
    token_ms: float
    answer: Callable[[str, Tokens, str], Body]


def _chat(model: str, tokens: Tokens, said: str) -> Body:
    usage = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
    message = {"role": "assistant", "content": said}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"object": "chat.completion", "model": model, "choices": choices, "usage": usage}


def _messages(model: str, tokens: Tokens, said: str) -> Body:
    written = (tokens.prompt - tokens.cached) // 8
    usage = {
        "input_tokens": tokens.prompt - tokens.cached - written,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": written,
        "output_tokens": tokens.completion,
    }
    content = [{"type": "text", "text": said}]
    return {"type": "message", "model": model, "content": content, "stop_reason": "end_turn", "usage": usage}


def _gemini(model: str, tokens: Tokens, said: str) -> Body:
    usage = {
        "promptTokenCount": tokens.prompt,
        "cachedContentTokenCount": tokens.cached,
        "candidatesTokenCount": tokens.completion - tokens.reasoning,
        "thoughtsTokenCount": tokens.reasoning,
        "totalTokenCount": tokens.prompt + tokens.completion,
    }
    candidate = {"content": {"role": "model", "parts": [{"text": said}]}, "finishReason": "STOP"}
    return {"candidates": [candidate], "modelVersion": model, "usageMetadata": usage}


_ANSWER: Final = "Record {} was found. The customer is to be answered with the second template."
_GEMINI: Final = "https://generativelanguage.googleapis.com/v1beta/models"
MODELS: Final = (
    Model("openai", "gpt-4o-2024-08-06", "https://api.openai.com/v1/chat/completions", 350, 9, _chat),
    Model("openai", "gpt-4o-mini-2024-07-18", "https://api.openai.com/v1/chat/completions", 300, 6, _chat),
    Model(
        "anthropic", "claude-sonnet-4-5-20250929", "https://api.anthropic.com/v1/messages", 700, 14, _messages
    ),
    Model(
        "anthropic", "claude-haiku-4-5-20251001", "https://api.anthropic.com/v1/messages", 400, 6, _messages
    ),
    Model("google", "gemini-2.5-flash", f"{_GEMINI}/gemini-2.5-flash:generateContent", 400, 4, _gemini),
    Model("google", "gemini-2.5-pro", f"{_GEMINI}/gemini-2.5-pro:generateContent", 900, 10, _gemini),
    Model("mistral", "mistral-large-latest", "https://api.mistral.ai/v1/chat/completions", 450, 11, _chat),
    Model(
        "groq", "llama-3.3-70b-versatile", "https://api.groq.com/openai/v1/chat/completions", 120, 3, _chat
    ),
)

_CACHING: Final = frozenset({"openai", "anthropic", "google"})
"""Providers whose price lists have a price for tokens read from a cache."""

_FAILURES: Final = (
    (429, {"error": {"type": "rate_limit_error", "message": "The rate limit is reached; try again in 2 s."}}),
    (500, {"error": {"type": "server_error", "message": "The server had an error."}}),
)


def calls(traffic: Traffic) -> Iterator[tuple[Body, int]]:
    """Yield each call as the wire's record, and the time at which it is received in microseconds since 1970."""
    dice = random.Random(traffic.seed)  # noqa: S311 - made-up calls, no secrets
    span_us = int(traffic.days * 86_400e6)
    for first in range(0, traffic.calls, RUN_CALLS):
        run = _Run(dice, traffic)
        begun_us = traffic.end_us - span_us + span_us * first // traffic.calls
        for step in range(min(RUN_CALLS, traffic.calls - first)):
            yield run.call(step, min(traffic.end_us, begun_us + step * 4_000_000))


class _Run:
    """One run of an agent: its calls share identifiers, and each sends more than the one before."""

    def __init__(self, dice: random.Random, traffic: Traffic) -> None:
        self._dice = dice
        place = int(dice.random() ** 2 * len(traffic.organizations))
        agent = int(dice.random() ** 2 * 8)
        organization = traffic.organizations[place]
        # An agent has a model that it uses most.
        self._model = MODELS[agent % len(MODELS)] if dice.random() < 0.8 else dice.choice(MODELS)
        self._prompt = min(60_000, int(1500 * exp(0.8 * dice.gauss(0, 1))))
        self._growth = 1 + int(350 * exp(0.6 * dice.gauss(0, 1)))
        self._said: list[tuple[str, str]] = []
        """What was asked and answered, and is sent again with each call."""
        self._fields: Body = {
            "protocol_version": 4,
            "source": MARK,
            "org_id": organization,
            "project_id": f"{organization}-project-{agent % 3}",
            "agent_id": f"{organization}-agent-{agent}",
            "user_id": f"user-{dice.randrange(500)}",
            "run_id": self._id(),
            "trace_id": f"{dice.getrandbits(128):032x}",
            "tags": ["production"] if agent % 2 == 0 else ["staging", "canary"],
            "service": ("api", "worker", "batch")[agent % 3],
            "billing": {
                "plan_type": ("basic", "standard", "max", "enterprise")[place % 4],
                "cost_source": ("quota", "credits")[place % 2],
                "customer_id": f"customer-{dice.randrange(200)}",
            },
        }

    def call(self, step: int, started_us: int) -> tuple[Body, int]:
        """Return one call of the run, and when it is received."""
        dice, model = self._dice, self._model
        chance = dice.random()
        tokens = self._tokens(step)
        latency_ms = (
            int((model.first_ms + tokens.completion * model.token_ms) * exp(0.4 * dice.gauss(0, 1))) + 1
        )
        record: Body = {
            **self._fields,
            "provider_trace_id": self._id(),
            "step_id": self._id(),
            "timestamp": (EPOCH + timedelta(microseconds=started_us)).astimezone(UTC).isoformat(),
            "provider": model.provider,
            "model": model.name,
            "url": model.url,
            "attempt": 2 if chance < 0.02 else 1,
            "latency_ms": latency_ms,
            "request": self._request(step),
        }
        if chance < 0.94:
            said = _ANSWER.format(dice.randrange(10**6))
            record |= {"status_code": 200, "response": model.answer(model.name, tokens, said)}
            self._said.append((self._question(step), said))
            if dice.random() < 0.6:
                record["time_to_first_token_ms"] = min(latency_ms, model.first_ms)
        elif chance < 0.97:
            record |= {"status_code": 200, "outcome": "cancelled"}
        else:
            status, answer = dice.choice(_FAILURES)
            record |= {"status_code": status, "response": answer, "latency_ms": model.first_ms}
        return record, started_us + record["latency_ms"] * 1000

    def _tokens(self, step: int) -> Tokens:
        prompt = self._prompt + step * self._growth
        completion = min(16_000, 1 + int(220 * exp(self._dice.gauss(0, 1))))
        # What was said before is cached; the providers count it in steps of 128.
        is_cached = step > 0 and self._model.provider in _CACHING
        cached = (prompt - self._growth) * 9 // 10 // 128 * 128 if is_cached else 0
        return Tokens(prompt, max(0, cached), completion, completion // 3 if "pro" in self._model.name else 0)

    def _question(self, step: int) -> str:
        return f"Step {step + 1}: what is the next action for case {self._fields['run_id'][:8]}?"

    def _request(self, step: int) -> Body:
        system = f"You are {self._fields['agent_id']}."
        turns = [turn for said in self._said for turn in zip(("user", "assistant"), said, strict=True)]
        turns.append(("user", self._question(step)))
        if self._model.answer is _gemini:
            roles = {"user": "user", "assistant": "model"}
            contents = [{"role": roles[role], "parts": [{"text": text}]} for role, text in turns]
            return {"systemInstruction": {"parts": [{"text": system}]}, "contents": contents}
        messages = [{"role": role, "content": text} for role, text in turns]
        if self._model.answer is _messages:
            return {"model": self._model.name, "max_tokens": 16_000, "system": system, "messages": messages}
        return {"model": self._model.name, "messages": [{"role": "system", "content": system}, *messages]}

    def _id(self) -> str:
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
