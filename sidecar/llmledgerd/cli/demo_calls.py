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
from collections.abc import Iterator
from datetime import UTC, timedelta
from math import exp
from typing import Final

import msgspec

from llmledgerd.cli.demo_formats import CHAT, GEMINI, MESSAGES, Body, Format, Tokens, Tool, ToolCall, Turn
from llmledgerd.conversations.cache_rules import rule_for
from llmledgerd.records.timestamps import EPOCH

MARK: Final = "llmledger-demo"
ORGANIZATIONS: Final = tuple(f"demo-{number:02}" for number in range(12))
RUN_CALLS: Final = 12
"""Calls of one run of an agent."""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls, and when they start."""

    calls: int
    days: float
    end_us: int
    """When the last call starts, in microseconds since 1970."""
    organizations: tuple[str, ...] = ORGANIZATIONS
    """The first has the most calls."""
    seed: int = 1


class Model(msgspec.Struct, frozen=True):
    """A model that the calls use."""

    provider: str
    name: str
    url: str
    first_ms: int
    token_ms: float
    format: Format


_ANSWER: Final = "Record {} was found. The customer is to be answered with the second template."
_GEMINI: Final = "https://generativelanguage.googleapis.com/v1beta/models"
MODELS: Final = (
    Model("openai", "gpt-4o-2024-08-06", "https://api.openai.com/v1/chat/completions", 350, 9, CHAT),
    Model("openai", "gpt-4o-mini-2024-07-18", "https://api.openai.com/v1/chat/completions", 300, 6, CHAT),
    Model(
        "anthropic", "claude-sonnet-4-5-20250929", "https://api.anthropic.com/v1/messages", 700, 14, MESSAGES
    ),
    Model(
        "anthropic", "claude-haiku-4-5-20251001", "https://api.anthropic.com/v1/messages", 400, 6, MESSAGES
    ),
    Model("google", "gemini-2.5-flash", f"{_GEMINI}/gemini-2.5-flash:generateContent", 400, 4, GEMINI),
    Model("google", "gemini-2.5-pro", f"{_GEMINI}/gemini-2.5-pro:generateContent", 900, 10, GEMINI),
    Model("mistral", "mistral-large-latest", "https://api.mistral.ai/v1/chat/completions", 450, 11, CHAT),
    Model("groq", "llama-3.3-70b-versatile", "https://api.groq.com/openai/v1/chat/completions", 120, 3, CHAT),
)

_CACHING: Final = frozenset({"openai", "anthropic", "google"})
"""Providers whose price lists have a price for tokens read from a cache."""
_CACHE_STEP: Final = 128

TOOLS: Final = (
    Tool("search_orders", "Find the orders of a customer.", "query"),
    Tool("read_policy", "Read a paragraph of the company's policy.", "topic"),
    Tool("mcp__crm__find_customer", "Look a customer up in the CRM.", "name"),
)
_FAILED: Final = "Error: no entry was found"
_HAND: Final = 8
"""Agents of an organization."""
_CLOCK_AGENT, _SHUFFLING_AGENT = 1, 2
"""Agents whose caches are missed: the system prompt of one has the time in it; one lists its tools in another order."""
_PAUSE_US: Final = 1_000_000
"""Between an answer and the next call of the run."""

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
        at_us = begun_us
        for step in range(min(RUN_CALLS, traffic.calls - first)):
            record, received_us = run.call(step, min(traffic.end_us, at_us))
            yield record, received_us
            at_us = received_us + _PAUSE_US


class _Run:
    """One run of an agent: its calls share identifiers, and each sends more than the one before."""

    def __init__(self, dice: random.Random, traffic: Traffic) -> None:
        self._dice = dice
        place = int(dice.random() ** 2 * len(traffic.organizations))
        agent = self._agent = int(dice.random() ** 2 * _HAND)
        organization = traffic.organizations[place]
        # An agent has a model that it uses most.
        self._model = MODELS[agent % len(MODELS)] if dice.random() < 0.8 else dice.choice(MODELS)
        self._tools = TOOLS if agent % 2 == 0 else ()
        self._prompt = min(60_000, int(1500 * exp(0.8 * dice.gauss(0, 1))))
        self._growth = 1 + int(350 * exp(0.6 * dice.gauss(0, 1)))
        self._turns: list[Turn] = []
        """What was asked and answered, and is sent again with each call."""
        self._sent = 0
        """Tokens of the last prompt that was answered."""
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
        asked = self._asked(step)
        is_shuffled = self._agent == _SHUFFLING_AGENT and dice.random() < 0.1
        if is_shuffled:
            self._tools = self._tools[::-1]
        tokens = self._tokens(step, is_missed=is_shuffled or self._agent == _CLOCK_AGENT or chance < 0.01)
        latency_ms = (
            int((model.first_ms + tokens.completion * model.token_ms) * exp(0.4 * dice.gauss(0, 1))) + 1
        )
        started = (EPOCH + timedelta(microseconds=started_us)).astimezone(UTC)
        system = f"You are {self._fields['agent_id']}."
        if self._agent == _CLOCK_AGENT:
            system += f" It is {started:%Y-%m-%d %H:%M:%S}."
        record: Body = {
            **self._fields,
            "provider_trace_id": self._id(),
            "step_id": self._id(),
            "timestamp": started.isoformat(),
            "provider": model.provider,
            "model": model.name,
            "url": model.url,
            "attempt": 2 if chance < 0.02 else 1,
            "latency_ms": latency_ms,
            "request": model.format.request(model.name, system, self._tools, self._turns, asked),
        }
        if chance < 0.94:
            said = self._said(step)
            record |= {"status_code": 200, "response": model.format.answer(model.name, tokens, said)}
            self._turns.append(Turn(asked, said))
            self._sent = tokens.prompt
            if dice.random() < 0.6:
                record["time_to_first_token_ms"] = min(latency_ms, model.first_ms)
        elif chance < 0.97:
            record |= {"status_code": 200, "outcome": "cancelled"}
        else:
            status, answer = dice.choice(_FAILURES)
            record |= {"status_code": status, "response": answer, "latency_ms": model.first_ms}
        return record, started_us + record["latency_ms"] * 1000

    def _tokens(self, step: int, *, is_missed: bool) -> Tokens:
        prompt = self._prompt + step * self._growth
        completion = min(16_000, 1 + int(220 * exp(self._dice.gauss(0, 1))))
        model, cached, written = self._model, 0, 0
        # What was sent before is cached, from a length on; most providers count it in steps.
        least = rule_for(model.provider, model.name).minimum
        if model.provider in _CACHING and prompt >= least:
            if self._sent >= least and not is_missed:
                cached = self._sent // _CACHE_STEP * _CACHE_STEP
            written = prompt - cached
        return Tokens(prompt, cached, written, completion, completion // 3 if "pro" in model.name else 0)

    def _asked(self, step: int) -> str | ToolCall:
        last = self._turns[-1].said if self._turns else ""
        if isinstance(last, ToolCall):
            return last
        return f"Step {step + 1}: what is the next action for case {self._fields['run_id'][:8]}?"

    def _said(self, step: int) -> str | ToolCall:
        """Return an answer; half of those that may ask for a tool do."""
        dice, number = self._dice, self._dice.randrange(10**6)
        if not self._tools or step == RUN_CALLS - 1 or dice.random() < 0.5:
            return _ANSWER.format(number)
        tool, is_error = dice.choice(self._tools), dice.random() < 0.08
        result = _FAILED if is_error else f"Found {dice.randrange(1, 40)} entries. " * dice.randrange(1, 30)
        return ToolCall(
            f"call_{number:06}{dice.getrandbits(64):016x}",
            tool.name,
            {tool.argument: f"case {number}"},
            result,
            is_error,
        )

    def _id(self) -> str:
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
