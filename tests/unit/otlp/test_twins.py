from __future__ import annotations

from llmledgerd.otlp.twins import Told, Twins

LANGCHAIN = "openinference.instrumentation.langchain"


def told(
    index: int,
    scope: str,
    start: int,
    end: int,
    *,
    answer: str = "",
    counts: str = "11 5",
    usage: bool = True,
) -> Told:
    return Told(
        index=index,
        service="shop",
        scope=scope,
        start_ns=start,
        end_ns=end,
        answer=answer,
        counts=counts,
        has_usage=usage,
    )


def test_of_two_instrumentations_with_one_answer_the_inner_is_the_row() -> None:
    spans = [told(0, "patch", 0, 100, answer="a"), told(1, "sdk", 10, 90, answer="a")]
    assert Twins().absorbed(spans, ()) == {0: 1}


def test_one_with_usage_wins_over_a_shorter_one_without() -> None:
    spans = [told(0, "patch", 0, 100, answer="a"), told(1, "sdk", 10, 90, answer="a", usage=False)]
    assert Twins().absorbed(spans, ()) == {1: 0}


def test_the_second_may_come_with_a_later_request() -> None:
    twins = Twins()
    assert twins.absorbed([told(0, "sdk", 10, 90, answer="a")], ()) == {}
    assert twins.absorbed([told(0, "patch", 0, 100, answer="a")], ()) == {0: -1}


def test_one_instrumentation_s_calls_are_as_many_as_its_spans() -> None:
    spans = [told(number, "sdk", 0, 100, answer="always the same") for number in range(5)]
    assert Twins().absorbed(spans, ()) == {}


def test_where_ids_are_not_unique_calls_at_different_times_are_two() -> None:
    spans = [told(0, "sdk", 0, 10, answer="same"), told(1, "patch", 20, 30, answer="same")]
    assert Twins().absorbed(spans, ()) == {}


def test_where_ids_are_not_unique_each_span_absorbs_one_of_another_instrumentation() -> None:
    inner = [told(number, "sdk", 10, 90, answer="same") for number in range(3)]
    outer = [told(number + 3, "patch", 0, 100, answer="same") for number in range(3)]
    assert len(Twins().absorbed([*inner, *outer], ())) == 3


def test_a_framework_without_an_id_is_told_by_time_and_counts() -> None:
    spans = [told(0, LANGCHAIN, 0, 100), told(1, "sdk", 10, 90, answer="a")]
    assert Twins().absorbed(spans, ()) == {0: 1}
    others = [told(0, LANGCHAIN, 0, 100, counts="12 5"), told(1, "sdk", 10, 90, answer="a")]
    assert Twins().absorbed(others, ()) == {}


def test_another_instrumentation_without_an_id_is_never_told_by_counts() -> None:
    assert Twins().absorbed([told(0, "other", 0, 100), told(1, "sdk", 10, 90, answer="a")], ()) == {}


def test_a_row_stays_one_when_it_is_repeated() -> None:
    twins = Twins()
    twins.absorbed([told(0, "sdk", 10, 90, answer="a"), told(1, "patch", 0, 100, answer="a")], ())
    assert twins.absorbed([told(0, "sdk", 10, 90, answer="a")], {0}) == {}
