"""The recorded corpus: every exchange's expected facts, or one of those that can be defended.

Runs where ``LLMLEDGER_CORPUS`` names the folder with ``open.ndjson``; recordings are not ours to
ship. Prints how many lines of each api were compared.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from llmledgerd.usage import Exchange, Facts, read_exchange
from tests.helpers.corpus import PARTS, SUMS, TEXTS, allowed, needs_corpus, records, scored

pytestmark = needs_corpus

CUTS = 20
"""How often each stream is cut."""


def exchange(record: dict[str, Any], **changes: Any) -> Exchange:
    fields = {
        "provider": record["provider"],
        "url": record["url"] or "",
        "status_code": record["status"] or 0,
        "request": _raw(record["request"]),
        "response": _raw(record["response"]),
        "stream": record["response_sse"] or "",
        "headers": record.get("response_headers"),
    }
    return Exchange(**{**fields, **changes})


def _raw(payload: Any) -> bytes:
    return b"" if payload is None else json.dumps(payload, ensure_ascii=False).encode()


def differences(record: dict[str, Any], facts: Facts) -> list[tuple[str, Any, list[Any]]]:
    """Return the fields that are neither expected nor accepted: name, what was read, what was wanted."""
    found = []
    is_error = facts.has_error or (record["status"] or 0) >= 400
    for name, read in [
        ("is_error", is_error),
        *((one, getattr(facts, one)) for one in (*SUMS, *PARTS, *TEXTS)),
    ]:
        wanted = allowed(record, name)
        if _same(name, read) not in [_same(name, one) for one in wanted]:
            found.append((name, read, wanted))
    return found


def _same(name: str, found: Any) -> Any:
    """Level what the corpus does not tell apart: no count and 0 of a sum, no text and an empty one."""
    return found or None if name in SUMS or name in TEXTS else found


def test_every_exchange_gives_what_is_expected_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    compared: Counter[tuple[str, bool]] = Counter()
    wrong = []
    for record in scored():
        compared[record["api"], record["stream"]] += 1
        found = differences(record, read_exchange(exchange(record)))
        if found:
            wrong.append((record["id"], found))
    with capsys.disabled():
        print()
        for (api, is_stream), count in sorted(compared.items()):
            print(f"{count:5} {api}{' (streamed)' if is_stream else ''}")
        print(f"{compared.total():5} compared, {len(wrong)} wrong")
    assert wrong == []


def test_the_providers_name_changes_nothing_that_is_counted() -> None:
    for record in records():
        named = read_exchange(exchange(record))
        misnamed = read_exchange(exchange(record, provider="openai", url=""))
        assert [getattr(named, one) for one in (*SUMS, *PARTS)] == [
            getattr(misnamed, one) for one in (*SUMS, *PARTS)
        ]


def test_streams_cut_anywhere_never_count_more_than_they_reported() -> None:
    dice = random.Random(20)
    for record in records():
        text = record["response_sse"] or ""
        for _ in range(CUTS if text else 0):
            facts = read_exchange(exchange(record, stream=text[: dice.randrange(1, len(text))]))
            json.loads(facts.response)
            _assert_no_more_than_reported(record, facts)


def _assert_no_more_than_reported(record: dict[str, Any], facts: Facts) -> None:
    whole = read_exchange(exchange(record))
    largest = _largest_number(record["response_sse"])
    for name in (*SUMS, *PARTS):
        count = getattr(facts, name)
        assert count is None or count <= max(largest, getattr(whole, name) or 0), (record["id"], name)
        if facts.usage_source == "reported":
            assert count == getattr(whole, name), (record["id"], name)


def _largest_number(stream: str) -> int:
    """Return the largest sum that any one event of Gemini's reports; others never shrink."""
    sums = [0]
    for line in stream.replace("\r", "").split("\n"):
        head, brace, body = line.partition("{")
        if "usageMetadata" in body and head in ("", "data: ", ",", "["):
            alone = read_exchange(Exchange(stream=f"data: {brace}{body}\n\n"))
            sums.extend(getattr(alone, name) or 0 for name in SUMS)
    return max(sums)
