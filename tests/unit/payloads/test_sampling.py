"""Sampling: the calls of one trace share one fate, and a higher rate keeps what a lower one keeps."""

from __future__ import annotations

from llmledgerd.payloads.sampling import keeps

NAMES = [f"call-{number}" for number in range(2000)]


def kept(rate: float) -> set[str]:
    return {name for name in NAMES if keeps(rate, "", "", name)}


def test_a_higher_rate_keeps_whatever_a_lower_one_keeps() -> None:
    assert kept(0.0) == set()
    assert kept(0.1) < kept(0.5) < kept(1.0) == set(NAMES)
    assert 150 < len(kept(0.1)) < 250


def test_the_calls_of_a_trace_share_its_fate_and_without_a_trace_those_of_a_run() -> None:
    for trace in NAMES[:50]:
        assert len({keeps(0.5, trace, run, call) for run in NAMES[:3] for call in NAMES[:3]}) == 1
        assert len({keeps(0.5, "", trace, call) for call in NAMES[:5]}) == 1
