"""Attempts of one call. Pure.

Invariant: an attempt belongs to one call, and a failed attempt is followed by one attempt at most. A call is an
attempt of an earlier one if it sent the same bytes and

- started after that one had failed, within WINDOW_US of its end, or
- overlaps it, where that one was cancelled and this one was not (a request that is sent again in case the first
  one hangs), or where an SDK counts it as a later attempt.

Equal requests that succeed beside each other are calls of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import Final, NamedTuple

from llmledgerd.query.tool_results import RetriedCall, Retries

WINDOW_US: Final = 600 * 1_000_000
"""Time from the end of a failed attempt within which the next one starts: SDKs wait for seconds, and for minutes
where the provider says so (``retry-after``)."""

CLOCK_US: Final = 5_000
"""How much earlier than the end of the failed attempt the next one may seem to start: times are of two clocks, and
latencies are rounded."""


class Attempt(NamedTuple):
    """What is read of one call."""

    organization_id: str
    request_hash: int
    start_us: int
    end_us: int
    is_error: int
    outcome: str
    attempt: int
    """The SDK's number of it, from 1; 0 where none is known."""
    provider: str
    model: str
    error_type: str
    cost_usd: Decimal | None
    id: str


_REQUEST: Final = itemgetter(0, 1)
"""Organization and hash of an attempt."""


def calls_of(attempts: Iterable[Attempt]) -> list[list[Attempt]]:
    """Return the calls that have several attempts, each with its attempts in order.

    ``attempts`` are those of requests of which one failed, in the order of hash and start.
    """
    found: list[list[Attempt]] = []
    for _, same in groupby(attempts, _REQUEST):
        found += [call for call in _calls(same) if len(call) > 1]
    return found


def _calls(same: Iterable[Attempt]) -> list[list[Attempt]]:
    calls: list[list[Attempt]] = []
    waiting: list[list[Attempt]] = []
    """Calls whose last attempt failed, the longest waiting first."""
    for one in same:
        call = None
        if waiting:
            waiting = [call for call in waiting if one.start_us - call[-1].end_us <= WINDOW_US]
            call = next((call for call in waiting if _follows(one, call[-1])), None)
        if call is None:
            call = []
            calls.append(call)
        else:
            waiting.remove(call)
        call.append(one)
        if one.is_error:
            waiting.append(call)
    return calls


def _follows(one: Attempt, failed: Attempt) -> bool:
    if one.start_us >= failed.end_us - CLOCK_US:
        return one.start_us > failed.start_us or one.attempt > failed.attempt
    is_sent_again = failed.outcome == "cancelled" and not one.is_error and one.start_us > failed.start_us
    return is_sent_again or one.attempt > failed.attempt > 0


def retried_call(attempts: Sequence[Attempt]) -> RetriedCall:
    """Return what a call's attempts came to."""
    first, last = attempts[0], attempts[-1]
    failed = [one for one in attempts if one.is_error]
    costs = [one.cost_usd for one in failed if one.cost_usd is not None]
    return RetriedCall(
        id=last.id,
        organization_id=last.organization_id,
        attempts=[one.id for one in attempts],
        provider=last.provider,
        model=last.model,
        outcome=last.outcome,
        is_error=bool(last.is_error),
        error_types=[one.error_type for one in failed],
        started_at=datetime.fromtimestamp(first.start_us / 1e6, UTC),
        waited_ms=_waited_us(attempts) / 1000,
        failed_cost_usd=sum(costs, Decimal(0)),
        unknown_cost=len(failed) - len(costs),
    )


class Tally(NamedTuple):
    """Sums of calls whose last attempts had one provider and model."""

    attempts: int
    failed: int
    """Failed attempts."""
    given_up: int
    """Calls whose last attempt failed."""
    failed_cost: Decimal
    unknown_cost: int
    """Failed attempts without a cost."""
    waits_us: list[int]
    """What each call waited."""


_NOTHING: Final = Tally(0, 0, 0, Decimal(0), 0, [])


def summed(
    calls: Iterable[Sequence[Attempt]], known: Mapping[tuple[str, str], Tally] = MappingProxyType({})
) -> list[Retries]:
    """Return sums by provider and model of the last attempt, what cost most first.

    ``known`` are sums of other calls, by provider and model.
    """
    by_model: dict[tuple[str, str], list[Sequence[Attempt]]] = {model: [] for model in known}
    for call in calls:
        by_model.setdefault((call[-1].provider, call[-1].model), []).append(call)
    found = [_sum(*model, own, known.get(model, _NOTHING)) for model, own in by_model.items()]
    return sorted(found, key=lambda one: (-one.failed_cost_usd, -one.calls, one.provider, one.model))


def _sum(provider: str, model: str, calls: Sequence[Sequence[Attempt]], known: Tally) -> Retries:
    waits = sorted([*map(_waited_us, calls), *known.waits_us])
    failed = [one.cost_usd for call in calls for one in call if one.is_error]
    given_up = known.given_up + sum([1 for call in calls if call[-1].is_error])
    return Retries(
        provider=provider,
        model=model,
        calls=len(waits),
        attempts=known.attempts + sum(map(len, calls)),
        failed_attempts=known.failed + len(failed),
        recovered=len(waits) - given_up,
        given_up=given_up,
        failed_cost_usd=sum([cost for cost in failed if cost is not None], known.failed_cost),
        unknown_cost=known.unknown_cost + failed.count(None),
        waited_ms=sum(waits) / 1000,
        waited_p50_ms=_rank(waits, 50) / 1000,
        waited_p95_ms=_rank(waits, 95) / 1000,
    )


def _waited_us(attempts: Sequence[Attempt]) -> int:
    """Return the time from the first attempt's start to the last one's; to its end where that failed too."""
    last = attempts[-1]
    return max(0, (last.end_us if last.is_error else last.start_us) - attempts[0].start_us)


def _rank(values: Sequence[int], level: int) -> int:
    """Return a percentile by nearest rank."""
    return values[-(-len(values) * level // 100) - 1]
