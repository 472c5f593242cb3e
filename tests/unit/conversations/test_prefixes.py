"""Beginnings of requests that were read before (``conversations.prefixes``)."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from llmledgerd.conversations import Request, read_request, requests
from llmledgerd.conversations.prefixes import LEAST_BYTES, Prefixes

CALL = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"query": "fox"}'}}


def _messages(steps: int) -> list[Any]:
    found: list[Any] = [{"role": "system", "content": "You answer briefly. " * 40}]
    for step in range(steps):
        found += [
            {"role": "user", "content": [{"type": "text", "text": f'{step}: \u00e4 "quoted"\n' * 20}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": f"found {step} " * 60},
            {"role": "assistant", "content": f"Answer {step}. " * 30},
        ]
    return found


def _compact(request: dict[str, Any]) -> bytes:
    return json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()


def _spaced(request: dict[str, Any]) -> bytes:
    return json.dumps(request, indent=1).encode()


def _facts(request: Request) -> list[Any]:
    """Return all that a request says, with what is computed on demand."""
    for part in (*request.tools, *request.system, *request.messages):
        _ = part.hash, part.size
    names = [name for name in Request.__struct_fields__ if name not in ("known", "notes")]
    return [getattr(request, name) for name in names]


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> Prefixes:
    """Return the beginnings that this test alone uses."""
    found = Prefixes()
    monkeypatch.setattr(requests, "_prefixes", found)
    return found


def _afresh(request: bytes) -> list[Any]:
    root = requests._decode_root(request)
    return _facts(requests._request(root))


@pytest.mark.parametrize("spelled", [_compact, _spaced])
@pytest.mark.parametrize("tools_first", [False, True])
@pytest.mark.parametrize("said_in", ["messages", "input", "contents"])
def test_a_history_that_grows_has_the_same_parts_as_one_that_is_read_at_once(
    spelled: Callable[[dict[str, Any]], bytes], *, said_in: str, tools_first: bool, remembered: Prefixes
) -> None:
    tools = {"tools": [{"type": "function", "function": {"name": "search", "parameters": {}}}]}
    hits = 0
    for steps in range(1, 40):
        said = {said_in: _messages(steps)}
        request = spelled({**tools, **said} if tools_first else {**said, **tools})
        hits += remembered.find(request)[0] is not None
        assert _facts(read_request(request)) == _afresh(request)
        assert _facts(read_request(memoryview(request))) == _afresh(request)
    assert hits > 30


def test_items_of_an_input_that_grows_are_read_as_at_once(remembered: Prefixes) -> None:
    items: list[Any] = [{"role": "user", "content": "Find the fox. " * 50}]
    for step in range(60):
        call_id = f"call_{step}"
        items += [
            {"type": "reasoning", "id": f"rs_{step}", "summary": []},
            {"type": "function_call", "call_id": call_id, "name": "search", "arguments": "{}"},
            {"type": "function_call_output", "call_id": call_id, "output": f"{step} " * 100},
        ]
        request = _compact({"model": "m", "input": items, "store": False})
        assert _facts(read_request(request)) == _afresh(request)
    assert remembered.find(request)[0] is not None


def test_a_history_in_a_member_that_another_hides_is_not_taken() -> None:
    said = _messages(9)
    plain, hidden = {"input": said}, {"input": said, "messages": [{"role": "user", "content": "Other"}]}
    for request in map(_compact, (plain, plain, hidden, hidden, plain)):
        assert _facts(read_request(request)) == _afresh(request)


def test_only_what_is_new_is_decoded_of_a_history_that_was_sent_twice(remembered: Prefixes) -> None:
    request = _compact({"messages": _messages(60)})
    read_request(request)
    read_request(request)
    known, _ = remembered.find(request)
    assert known is not None
    assert len(known.rest(request)) < len(request) / 5


def test_a_request_that_is_sent_once_leaves_no_beginning(remembered: Prefixes) -> None:
    for number in range(20):
        read_request(_compact({"user": str(number), "messages": _messages(20)}))
    assert remembered.size == 0


def test_marks_that_move_stay_with_their_requests() -> None:
    for _ in range(3):
        for at in range(1, 40):
            messages = _messages(10)
            marker = {
                "role": "user",
                "content": [{"type": "text", "text": "", "cache_control": {"type": "e"}}],
            }
            messages.insert(at, marker)
            request = _compact({"messages": messages})
            assert _facts(read_request(request)) == _afresh(request)


def test_a_mark_alone_marks_the_last_known_part_of_its_own_request() -> None:
    mark = {"role": "user", "content": [{"cachePoint": {"type": "default"}}]}
    plain = {"messages": [*_messages(9), {"role": "user", "content": "And now?"}]}
    marked = {"messages": [*_messages(9), mark, {"role": "user", "content": "And now?"}]}
    for request in map(_compact, (plain, plain, marked, plain, marked, marked, plain)):
        assert _facts(read_request(request)) == _afresh(request)


def test_a_mark_in_a_message_that_only_begins_alike_is_not_remembered() -> None:
    begun = b'{"messages":[{"role":"system","content":"%b"},{"role":"user","content":['
    begun %= b"x" * (LEAST_BYTES + 10 - len(begun))
    marked = begun + b'{"cachePoint":{"type":"default"}}]},{"role":"user","content":"And now?"}]}'
    plain = begun + b'{"text":"And now?"}]}]}'
    for request in (marked, marked, plain):
        assert _facts(read_request(request)) == _afresh(request)


@pytest.mark.parametrize(
    "bend",
    [
        lambda text: text.replace(b'"tail":1', b'"messages":[{"role":"user","content":"Other"}]'),
        lambda text: text.replace(b'"tail":1', b'"m\\u0065ssages":[]'),
        lambda text: text.replace(b'"tail":1', b'"messages":"Other"'),
        lambda text: text.replace(
            b'"head":1', b'"metadata":[' + b",".join(map(_compact, _messages(9))) + b"]"
        ),
        lambda text: text.replace(
            b'"head":1', b'"metadata":{"messages":[{"role":"user","content":"Other"}]}'
        ),
    ],
)
def test_members_of_the_same_name_are_read_as_without_a_memory(bend: Callable[[bytes], bytes]) -> None:
    plain = b'{"head":1,"messages":%b,"tail":1}' % json.dumps(_messages(9)).encode()
    bent = bend(plain)
    assert bent != plain
    for request in (plain, plain, bent, bent, plain, bent):
        assert _facts(read_request(request)) == _afresh(request)


def test_json_that_must_be_mended_is_read_as_without_a_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = _compact({"messages": [*_messages(9), {"role": "user", "content": "And now?"}]})
    broken = plain.replace(b"And now?", b"And now\\ud800?")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(broken)
    found = [_facts(read_request(request)) for request in (plain, plain, broken, broken)]
    monkeypatch.setattr(requests, "_prefixes", Prefixes())
    assert found[2] == found[3] == _facts(read_request(broken))
    assert len(found[2][2]) == len(found[0][2])


def test_memory_is_bounded_and_the_oldest_beginning_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = Prefixes(200_000)
    monkeypatch.setattr(requests, "_prefixes", remembered)
    sent = [_compact({"user": str(number), "messages": _messages(9)}) for number in range(20)]
    for request in sent:
        read_request(request)
        read_request(request)
        assert remembered.size <= 200_000
    assert remembered.find(sent[0])[0] is None
    assert remembered.find(sent[-1])[0] is not None


def test_values_of_few_bytes_count_as_the_objects_that_they_become() -> None:
    remembered = Prefixes(1 << 20)
    block = {"type": "x", "data": [[]] * 2000}
    request = _compact({"messages": [{"role": "user", "content": [block] * 5}, *_messages(9)]})
    for _ in range(2):
        known, hashes = remembered.find(request)
        remembered.learn(request, hashes, known, requests._request(requests._decode_root(request)).messages)
    assert remembered.size <= 1 << 20
    assert remembered.find(request)[0] is None


def test_a_beginning_with_the_same_hash_and_other_bytes_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xxhash.xxh3_64_intdigest", lambda text, seed: seed + 1)
    one = _compact({"messages": _messages(9)})
    other = one.replace(b"You answer", b"They reply")
    assert len(one) == len(other)
    assert one != other
    for request in (one, one, other, other, one):
        assert _facts(read_request(request)) == _afresh(request)


def test_threads_that_read_the_same_histories_find_the_same_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Prefixes(200_000)
    monkeypatch.setattr(requests, "_prefixes", small)
    sent = [_compact({"messages": _messages(steps)}) for steps in range(1, 20)] * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_request, sent))
    assert [_facts(one) for one in found] == [_afresh(one) for one in sent]
    assert small.size <= 200_000
