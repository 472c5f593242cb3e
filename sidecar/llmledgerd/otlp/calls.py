"""What a signal tells of one call, in the same form for every emitter. Pure."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec


class Role(Enum):
    """What a span is among the spans of its trace."""

    CALL = "call"
    """A call of a model: completion, embedding, rerank, … Of nested ones, one is a row."""
    STEP = "step"
    """A tool or a retrieval: a row of its own; a call above it is another call than one below it."""
    AGENT = "agent"
    """An agent or a workflow: no row, context of the spans below; a boundary, as a step is."""
    OTHER = "other"
    """Anything else: a chain, an HTTP request. No row, no boundary."""


class Counts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Token counts as the emitter says them; None: not said."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    cache_is_beside: bool = False
    """Whether ``input`` leaves cache reads and writes out, by the emitter and its version."""
    reasoning_is_beside: bool = False
    """Whether ``output`` leaves reasoning out."""

    @property
    def is_known(self) -> bool:
        return self.input is not None or self.output is not None or self.total is not None


NO_COUNTS = Counts()


class Context(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who and what a call was made for."""

    agent: str = ""
    run: str = ""
    """The conversation, session or thread."""
    step: str = ""
    user: str = ""
    organization: str = ""
    project: str = ""
    tags: tuple[str, ...] = ()

    def over(self, other: Context) -> Context:
        """Return this context, with what it does not say from another one."""
        return Context(
            agent=self.agent or other.agent,
            run=self.run or other.run,
            step=self.step or other.step,
            user=self.user or other.user,
            organization=self.organization or other.organization,
            project=self.project or other.project,
            tags=self.tags or other.tags,
        )


NO_CONTEXT = Context()


class Call(msgspec.Struct, kw_only=True, gc=False):
    """One call."""

    kind: str = ""
    """``embedding``, ``rerank``, ``tool``, ``retrieval``, …; empty for a completion."""
    provider: str = ""
    model: str = ""
    request_model: str = ""
    url: str = ""
    response_id: str = ""
    service_tier: str = ""
    finish_reasons: list[str] = []
    counts: Counts = NO_COUNTS
    usage: Any = None
    """The provider's own usage object, where the emitter passes it on whole; it wins over the counts."""
    request: Any = None
    response: Any = None
    """Bodies as the emitter has them: an object, or None."""
    outcome: str = ""
    error_type: str = ""
    error: str = ""
    status_code: int | None = None
    attempt: int | None = None
    latency_ms: float | None = None
    first_token_ms: float | None = None
    started_ns: int = 0
    cost_usd: float | None = None
    name: str = ""
    """An id that the emitter and its provider give the call, beside trace and span."""

    @property
    def has_usage(self) -> bool:
        return self.counts.is_known or self.usage is not None

    @property
    def is_failure(self) -> bool:
        return bool(self.outcome or self.error_type or self.error or (self.status_code or 0) >= 400)


class Reading(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a signal says."""

    emitter: str = ""
    """Name of the emitter's kind; empty if it tells nothing of models."""
    role: Role = Role.OTHER
    call: Call | None = None
    context: Context = NO_CONTEXT
    puzzle: str = ""
    """What was not understood, in a few words."""


NOTHING = Reading()
