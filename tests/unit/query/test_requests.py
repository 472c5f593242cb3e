"""Questions mean the same as arguments, as parameters of an address, and as their description."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.admin.openapi import description
from llmledgerd.query.filters import OF_SUMS as NARROWING
from llmledgerd.query.filters import CallsNarrowing, Narrowing
from llmledgerd.query.requests import (
    GROUPS,
    FindLarge,
    GetCall,
    GetUsage,
    ListCalls,
    QueryRequest,
    fields,
    from_text,
    to_text,
)
from llmledgerd.query.routes import ENDPOINTS

texts = st.none() | st.text(max_size=20) | st.sampled_from(["null", "None", "true", "1", "", "%", "a,b"])
times = st.none() | st.datetimes(timezones=st.just(UTC))
questions = st.one_of(
    st.builds(GetCall, id=st.text(), payloads=st.booleans()),
    st.builds(
        ListCalls,
        agent_id=texts,
        model=texts,
        run_id=texts,
        cursor=texts,
        is_error=st.none() | st.booleans(),
        start_date=times,
        limit=st.integers(1, 10_000),
    ),
    st.builds(FindLarge, provider=texts, end_date=times, min_size_bytes=st.integers(0, 2**63 - 1)),
    st.builds(
        GetUsage,
        group_by=st.lists(st.sampled_from(sorted(GROUPS)), unique=True).map(tuple),
        limit=st.none() | st.integers(1, 10_000),
        outcome=texts,
    ),
)


@given(questions)
def test_a_question_survives_its_way_through_an_address(question: QueryRequest) -> None:
    assert from_text(type(question), to_text(question)) == question


@pytest.mark.parametrize("word", ["null", "None", "", "undefined"])
def test_no_word_stands_for_not_narrowed(word: str) -> None:
    assert to_text(from_text(ListCalls, {"agent_id": word})) == {"agent_id": word, "limit": "100"}


@pytest.mark.parametrize(
    ("kind", "given_text", "said"),
    [
        (ListCalls, {"agent": "a"}, "unknown parameter `agent`"),
        (ListCalls, {"limit": "0"}, "limit"),
        (ListCalls, {"limit": "10001"}, "limit"),
        (ListCalls, {"limit": "null"}, "limit"),
        (ListCalls, {"start_date": "yesterday"}, "start_date"),
        (ListCalls, {"is_error": "perhaps"}, "is_error"),
        *(
            (GetCall, {"id": "a", "payloads": word}, "payloads")
            for word in ("True", "1", "yes", "TRUE", "null", "")
        ),
        (ListCalls, {"is_error": "null"}, "is_error"),
        (ListCalls, {"start_date": "null"}, "start_date"),
        (ListCalls, {"start_date": "123"}, "start_date"),
        (ListCalls, {"limit": "5.0"}, "limit"),
        (ListCalls, {"limit": "1e2"}, "limit"),
        (GetCall, {}, "id"),
        (GetUsage, {"group_by": "model,color"}, "color"),
        (FindLarge, {"min_size_bytes": "-1"}, "min_size_bytes"),
        (ListCalls, {"min_size_bytes": "-1"}, "min_size_bytes"),
        (GetUsage, {"limit": "0"}, "limit"),
    ],
)
def test_a_wrong_parameter_is_named(kind: type[QueryRequest], given_text: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_text(kind, given_text)


def test_times_without_a_zone_are_taken() -> None:
    asked = from_text(ListCalls, {"start_date": "2025-03-01T10:00:00"})

    assert asked.start_date == datetime(2025, 3, 1, 10)


def test_the_reader_s_keywords_are_the_questions_fields() -> None:
    assert set(get_type_hints(Narrowing)) == set(NARROWING)
    assert set(get_type_hints(CallsNarrowing)) <= set(fields(ListCalls))


def test_everything_that_can_be_asked_is_described() -> None:
    found = description()

    for endpoint in ENDPOINTS:
        operation = found["paths"][endpoint.path]["get"]
        named = {parameter["name"] for parameter in operation["parameters"]}
        assert named == {"organization_id", "all_organizations", *fields(endpoint.question)}
        assert all(parameter["description"] for parameter in operation["parameters"])
        assert operation["summary"]
    assert set(found["paths"]) == {
        *(endpoint.path for endpoint in ENDPOINTS),
        "/v1/sql",
        "/v1/status",
        "/v1/erase",
        "/v1/reprice",
    }


def test_every_reference_of_the_description_leads_somewhere() -> None:
    found = description()

    def references(part: object) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [ref for value in part.values() for ref in references(value)]
        return [ref for value in part for ref in references(value)] if isinstance(part, list) else []

    schemas = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert set(references(found)) == schemas
