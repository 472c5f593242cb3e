"""Over recorded exchanges: no spelling of a request or an answer changes a hash or a name."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from llmledgerd.conversations import identity_of, read_answer, read_request
from llmledgerd.usage import Exchange, read_exchange
from tests.helpers.corpus import needs_corpus, records

WITHOUT_MESSAGES = {
    "cohere.embed", "cohere.rerank", "gemini.embed_content", "openai.embeddings", "openai.runs", "voyage.rerank",
    "vertex.predict", "ollama.embed", "openai.images", "openai.audio_transcriptions", "replicate.predictions",
}  # fmt: skip


def spelled_otherwise(value: Any) -> Any:
    """Return the value with its members in another order, and its whole numbers as floats."""
    if isinstance(value, dict):
        return {name: spelled_otherwise(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [spelled_otherwise(one) for one in value]
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return float(value) if is_number else value


def spellings(value: Any) -> tuple[bytes, bytes]:
    plain = json.dumps(value, separators=(",", ":"))
    return plain.encode(), json.dumps(spelled_otherwise(value), indent=2, ensure_ascii=False).encode()


def answer_of(record: dict[str, Any], response: bytes) -> bytes:
    stream = record.get("response_sse") or ""
    return read_exchange(Exchange(stream=stream, url=record["url"])).response if stream else response


@needs_corpus
def test_neither_white_space_nor_the_order_of_members_changes_a_hash_or_a_name() -> None:
    for record in records():
        requests, responses = spellings(record["request"]), spellings(record["response"])
        found = [read_request(one) for one in requests]
        answers = [read_answer(answer_of(record, one)) for one in responses]

        for part in ("tools", "system", "messages"):
            hashes = [[one.hash for one in getattr(request, part)] for request in found]
            assert hashes[0] == hashes[1], (record["id"], part)
        assert [one.hash for one in answers[0].parts] == [one.hash for one in answers[1].parts], record["id"]
        names = [identity_of(*both, "acme") for both in zip(found, answers, strict=True)]
        assert names[0] == names[1], record["id"]


@needs_corpus
def test_every_api_with_messages_has_parts_and_names() -> None:
    seen: Counter[str] = Counter()
    for record in records():
        answer = read_answer(answer_of(record, json.dumps(record["response"]).encode()))
        request = read_request(json.dumps(record["request"]).encode())
        if record["request"] and answer.parts:
            assert identity_of(request, answer, "").turn_id, record["id"]
            seen[record["api"]] += bool(request.messages)

    assert {record["api"] for record in records() if record["request"]} - WITHOUT_MESSAGES <= set(seen)


@needs_corpus
def test_recorded_calls_name_the_recorded_turn_that_they_send_back() -> None:
    bearers: dict[str, set[str]] = {}
    asked = []
    for record in records():
        request = read_request(json.dumps(record["request"]).encode())
        answer = read_answer(answer_of(record, json.dumps(record["response"]).encode()))
        found = identity_of(request, answer, "acme")
        for part in answer.parts:
            if part.kind == "call" and len(part.id) > 16:
                bearers.setdefault(part.id, set()).update((found.turn_id, *found.turn_names))
        last = max((part.message for part in request.messages if part.role == "assistant"), default=-1)
        said = [part for part in request.messages if part.message == last]
        asked.append((record["id"], found.parent_turn_id, [part.id for part in said if part.kind == "call"]))

    pairs = [(name, parent, ids) for name, parent, ids in asked if not bearers.keys().isdisjoint(ids)]
    assert len(pairs) >= 20
    for name, parent, ids in pairs:
        assert any(parent in bearers.get(one, ()) for one in ids), name
