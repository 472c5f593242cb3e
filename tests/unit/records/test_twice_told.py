from __future__ import annotations

from llmledgerd.records.twice_told import Told, asked_between, recorded

SPAN = Told("", "t", "s", "chatcmpl-1", 1_000_000, 2_000_000)


def record(**more: object) -> Told:
    fields: dict[str, object] = {
        "organization": "acme",
        "trace": "",
        "span": "",
        "answer": "",
        "started_us": 1_100_000,
    }
    return Told(**(fields | more))  # type: ignore[arg-type]  # the fields that a test names


def test_a_record_of_the_same_span_tells_of_the_same_call() -> None:
    assert recorded([(7, SPAN)], [record(trace="t", span="s", started_us=9_000_000)]) == {7}


def test_a_record_of_the_same_answer_tells_of_it_within_the_span_s_time_alone() -> None:
    assert recorded([(7, SPAN)], [record(answer="chatcmpl-1")]) == {7}
    assert recorded([(7, SPAN)], [record(answer="chatcmpl-1", started_us=2_100_000)]) == set()
    assert recorded([(7, SPAN)], [record(answer="chatcmpl-1", started_us=900_000)]) == set()


def test_another_span_another_answer_and_another_organization_are_another_call() -> None:
    assert recorded([(7, SPAN)], [record(trace="t", span="other"), record(answer="other")]) == set()
    of_globex = Told("globex", "t", "s", "", 1_000_000, 2_000_000)
    assert recorded([(7, of_globex)], [record(trace="t", span="s")]) == set()


def test_nothing_is_recognized_by_what_is_empty() -> None:
    empty = Told("", "", "", "", 1_000_000, 2_000_000)
    assert recorded([(7, empty)], [record()]) == set()


def test_a_store_is_asked_for_the_time_of_all_spans() -> None:
    other = Told("", "t", "u", "", 5_000_000, 9_000_000)
    from_us, to_us = asked_between([SPAN, other])
    assert from_us < 1_000_000
    assert to_us > 9_000_000
