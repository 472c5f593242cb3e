"""A prompt's columns: bounded, without text, an organization's own, and adding up."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.conversations import read_request
from llmledgerd.conversations.cache_misses import Counts
from llmledgerd.conversations.cache_places import history_place, in_words, system_place, tools_place
from llmledgerd.conversations.prompt import Prompt, apportioned, prompt_of
from llmledgerd.conversations.prompt_description import MOST_BLOCKS, Description, read_description

SYSTEM = "You are a careful assistant that files reports. " * 40
TOOLS = [
    {"name": name, "description": f"What {name} does.", "input_schema": {"type": "object", "properties": {}}}
    for name in ("search", "mcp__github__create_issue", "write")
]
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "First question, of some length."},
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t1", "name": "search", "input": {"q": "x"}}],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a result " * 30}]},
    {"role": "assistant", "content": "An answer."},
    {"role": "user", "content": "The next question."},
]


def prompt(
    messages: list[dict[str, Any]] | None = None,
    *,
    system: Any = SYSTEM,
    tools: Any = TOOLS,
    organization: str = "acme",
    counts: Counts = Counts(3001, 0, 0),  # noqa: B008 - a tuple
    **more: Any,
) -> Prompt:
    request = {
        "model": "claude-sonnet-4-5",
        "system": system,
        "tools": tools,
        "messages": messages or MESSAGES,
        **more,
    }
    parts = read_request(json.dumps(request).encode())
    return prompt_of(parts, organization, counts, provider="anthropic", model="claude-sonnet-4-5")


def described(*arguments: Any, **more: Any) -> Description:
    return read_description(prompt(*arguments, **more).parts)


@pytest.mark.parametrize("tokens", [0, 1, 7, 3001, 123_457])
def test_the_parts_of_the_tokens_add_up_exactly(tokens: int) -> None:
    found = prompt(counts=Counts(tokens, 0, None))
    assert sum(found.tokens) == tokens
    assert len(read_description(found.parts).tools) == len(TOOLS)


@given(
    st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)),
    st.lists(st.sampled_from(MESSAGES), max_size=6),
    st.sampled_from(["", "Short.", SYSTEM]),
    st.sampled_from([[], TOOLS, TOOLS * 40]),
    st.booleans(),
)
def test_the_parts_add_up_and_none_is_negative_whatever_the_count_is(
    tokens: int, messages: list[dict[str, Any]], system: str, tools: list[dict[str, Any]], is_kept: bool
) -> None:
    more = {"previous_response_id": "resp_1"} if is_kept else {}
    found = prompt(
        messages or MESSAGES[:1], system=system, tools=tools, counts=Counts(tokens, None, None), **more
    )
    assert sum(found.tokens) == tokens
    assert min(found.tokens) >= 0


def test_each_part_has_its_kind() -> None:
    system, tools, history, results, files, new = prompt().tokens
    assert system > results > new > 0
    assert tools > 0
    assert history > 0
    assert files == 0


def test_an_image_is_counted_by_its_size() -> None:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (600).to_bytes(4) + (600).to_bytes(4)
    png = base64.b64encode(head + bytes(300)).decode()
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}
    found = prompt(
        [{"role": "user", "content": [image, {"type": "text", "text": "what is it"}]}], system="", tools=[]
    )
    assert found.tokens[4] / 3001 == pytest.approx(480 / 490, abs=0.02)


def test_no_text_of_the_prompt_is_kept_but_names_of_tools() -> None:
    kept = prompt().parts.decode()
    assert "search" in kept
    assert not any(word in kept for word in ("careful", "question", "result", "What"))


def test_another_organization_has_other_hashes() -> None:
    one, other = prompt(), prompt(organization="globex")
    for name in ("tools_hash", "system_hash", "history_hash", "parent_hash", "prefix_hash"):
        assert getattr(one, name) != getattr(other, name), name
    assert described().blocks != described(organization="globex").blocks
    assert described().chunks != described(organization="globex").chunks


def test_the_next_call_knows_the_history_of_the_call_before() -> None:
    before = prompt(MESSAGES[:3])
    assert prompt(MESSAGES).parent_hash == before.history_hash
    assert before.parent_hash == prompt(MESSAGES[:1]).history_hash
    assert prompt(MESSAGES[:1]).parent_hash == 0


def test_moved_marks_change_no_hash_and_are_kept_by_their_place() -> None:
    marked = json.loads(json.dumps(MESSAGES))
    marked[2]["content"][0]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    found = prompt(marked)
    assert found.history_hash == prompt().history_hash
    assert (found.marks, found.last_block) == ([6], 6)  # three tools, the system prompt, three blocks
    assert prompt(cache_control={"type": "ephemeral"}).marks == [8]


def test_order_of_members_and_spelling_of_numbers_count_in_what_providers_render_as_it_comes() -> None:
    tools = [{**TOOLS[0], "input_schema": {"properties": {}, "type": "object"}}, *TOOLS[1:]]
    one, other = prompt(), prompt(tools=tools)
    assert one.tools_hash != other.tools_hash
    place = tools_place(read_description(one.parts), read_description(other.parts))
    assert place == {"part": "tools", "change": "edited", "tool": "search", "index": 0}
    call = {"type": "tool_use", "id": "t1", "name": "search"}
    histories = [
        prompt([MESSAGES[0], {"role": "assistant", "content": [{**call, "input": said}]}, *MESSAGES[2:]])
        for said in ({"q": "x", "n": 1}, {"n": 1, "q": "x"}, {"q": "x", "n": 1.0})
    ]
    assert histories[0].history_hash != histories[1].history_hash
    assert histories[0].history_hash != histories[2].history_hash


def test_a_number_of_a_schema_that_is_spelled_anew_is_an_edit() -> None:
    one, other = ([{**TOOLS[0], "input_schema": {"maximum": most}}] for most in (100, 100.0))
    place = tools_place(described(tools=one), described(tools=other))
    assert place == {"part": "tools", "change": "edited", "tool": "search", "index": 0}


def test_arguments_that_are_a_text_count_as_they_are_written() -> None:
    function = {"name": "search", "arguments": '{"q":"x"}'}
    called = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": function}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "found"}
    before = [MESSAGES[0], called, result]
    now = json.loads(json.dumps(before))
    now[1]["tool_calls"][0]["function"]["arguments"] = '{"q": "x"}'
    assert prompt(before).history_hash != prompt(now).history_hash
    place = history_place(described(before), described(now))
    assert place == {"part": "messages", "index": 1, "change": "edited", "role": "assistant"}


def test_calls_of_a_conversation_that_the_provider_keeps_have_its_name_in_place_of_a_beginning() -> None:
    first, next_, other = (
        prompt([{"role": "user", "content": said}], conversation=conversation)
        for said, conversation in (("a", "conv_1"), ("b", {"id": "conv_1"}), ("b", "conv_2"))
    )
    assert first.prefix_hash == next_.prefix_hash < 0
    assert other.prefix_hash not in (first.prefix_hash, 0)


def test_the_order_of_members_of_a_block_itself_counts_for_nothing() -> None:
    turned = [{name: one[name] for name in reversed(one)} for one in MESSAGES]
    turned[1] = {"content": [dict(reversed(MESSAGES[1]["content"][0].items()))], "role": "assistant"}
    assert prompt(turned).history_hash == prompt().history_hash


def test_first_calls_share_no_more_than_what_stands_before_their_first_mark() -> None:
    one, other = [{"role": "user", "content": "One."}], [{"role": "user", "content": "Another."}]
    mark = {"type": "ephemeral"}
    system = [{"type": "text", "text": SYSTEM, "cache_control": mark}]
    assert prompt(one, system=system).prefix_hash == prompt(other, system=system).prefix_hash
    of_all = [prompt(said, cache_control=mark) for said in (one, other)]
    assert of_all[0].prefix_hash != of_all[1].prefix_hash
    assert of_all[0].prefix_hash == prompt(one, cache_control=mark).prefix_hash
    assert of_all[0].prefix_tokens == 3001


def test_a_description_is_bounded() -> None:
    many = [{"role": ("user", "assistant")[n % 2], "content": f"message {n}"} for n in range(20_000)]
    tools = [{"name": f"tool_{n}" * 20, "input_schema": {}} for n in range(1000)]
    found = prompt(many, system="words and more words " * 50_000, tools=tools)
    assert len(found.parts) < 64 << 10
    assert len(read_description(found.parts).blocks) <= 8 * MOST_BLOCKS


@pytest.mark.parametrize(
    "request_text",
    [b"", b"[]", b"{}", b'{"messages":[[]]}', b'{"messages":[null,1,{"role":3}],"tools":[1]}', b'{"system":"\\ud800"}',
     b'{"messages":[{"role":"assistant","content":"x"}]}'],
)  # fmt: skip
def test_nothing_raises_and_sums_hold_whatever_the_request_is(request_text: bytes) -> None:
    parts = read_request(request_text)
    for counts in (Counts(0, None, None), Counts(100, 0, None), Counts(100, 50, 50)):
        found = prompt_of(parts, "acme", counts, provider="openai", model="gpt-4o")
        assert sum(found.tokens) in (0, counts.prompt)


def test_shares_are_whole_and_complete() -> None:
    assert apportioned([0.0, 0.0], 5) == [0, 0]
    assert sum(apportioned([1.5, 2.25, 9.1], 1000)) == 1000


def changed(**fields: Any) -> dict[str, Any]:
    return {**TOOLS[1], **fields}


@pytest.mark.parametrize(
    ("tools", "place"),
    [
        ([*TOOLS, changed(name="read")], {"change": "added", "tool": "read", "index": 3}),
        ([changed(name="read"), *TOOLS], {"change": "added", "tool": "read", "index": 0}),
        ([TOOLS[0], TOOLS[2]], {"change": "removed", "tool": TOOLS[1]["name"], "index": 1}),
        (TOOLS[:2], {"change": "removed", "tool": "write", "index": 2}),
        ([TOOLS[0], changed(description="Other."), TOOLS[2]], {"change": "edited", "tool": TOOLS[1]["name"], "index": 1}),
        ([TOOLS[2], TOOLS[0], TOOLS[1]], {"change": "reordered", "tool": "write", "index": 0}),
        ([TOOLS[0], changed(name="renamed"), TOOLS[2]],
         {"change": "edited", "tool": "renamed", "index": 1, "was": TOOLS[1]["name"]}),
    ],
)  # fmt: skip
def test_the_tool_that_differs_is_named(tools: list[dict[str, Any]], place: dict[str, Any]) -> None:
    assert tools_place(described(), described(tools=tools)) == {"part": "tools", **place}


@pytest.mark.parametrize(
    ("old", "new", "suspect"),
    [
        ("at 2026-11-21 08:15", "at 2026-11-21 08:16", "clock"),
        (
            "session 3f0e8c1e-9a1b-4c55-8f6e-0c7a7c1f4f10",
            "session 4f0e8c1e-9a1b-4c55-8f6e-0c7a7c1f4f10",
            "uuid",
        ),
        ("it is Saturday, November 21, 2026", "it is Sunday, November 22, 2026", "clock"),
        ("it is Friday the 20th of November", "it is Friday the 21st of November", "clock"),
        ("request req_01Jx8Zk2PqLm", "request req_02Jx8Zk2PqLm", "id"),
        ("step 14 of", "step 15 of", "number"),
        ("a red apple", "a green apple", None),
    ],
)
def test_the_place_in_the_system_prompt_is_exact_and_its_suspect_named(
    old: str, new: str, suspect: str | None
) -> None:
    before, after = SYSTEM[:1000] + old + SYSTEM[1000:], SYSTEM[:1000] + new + SYSTEM[1000:]
    at = next(n for n in range(len(before)) if before[n] != after[n])
    place = system_place(described(system=before), described(system=after))
    assert place["offset"] <= at < place["offset"] + place["length"] == place["offset"] + 32
    assert place.get("suspect") == suspect
    assert "system prompt, characters" in in_words(place)


@pytest.mark.parametrize("size", [8190, 16_380, 65_530, 262_140])
def test_the_place_is_found_where_the_change_makes_the_chunks_larger(size: int) -> None:
    text = ("some words of a prompt " * 12_000)[:size]
    changed = text[:3000] + "at 2026-11-21 08:15:02 " + text[3000:]
    before, after = described(system=text), described(system=changed)
    assert after.chunk > before.chunk
    place = system_place(before, after)
    assert place["offset"] <= 3000 < place["offset"] + place["length"]
    assert place["suspect"] == "clock"


@pytest.mark.parametrize("size", [300_000, 1_000_000])
def test_the_place_is_found_at_the_end_of_a_very_long_system_prompt(size: int) -> None:
    text = ("some words of a prompt " * (size // 23 + 1))[:size]
    for changed, at in ((text + " ", size), (text[: size - 5] + "\u00a0" + text[size - 4 :], size - 5)):
        place = system_place(described(system=text), described(system=changed))
        assert place["offset"] <= at < place["offset"] + place["length"] < size + 16_384


def test_the_message_that_differs_is_named_with_what_happened_to_it() -> None:
    edited = [{"role": "user", "content": "Another question."}, *MESSAGES[1:]]
    assert history_place(described(), described(edited)) == {
        "part": "messages", "index": 0, "change": "edited", "role": "user",
    }  # fmt: skip
    assert history_place(described(), described(MESSAGES[3:]))["change"] == "dropped"
    inserted = [*MESSAGES[:2], {"role": "user", "content": "By the way."}, *MESSAGES[2:]]
    place = history_place(described(), described(inserted))
    assert (place["index"], place["change"]) == (2, "inserted")


def test_in_a_history_of_thousands_the_place_is_found_too() -> None:
    many = [{"role": ("user", "assistant")[n % 2], "content": f"message {n}"} for n in range(3000)]
    before = described(many)
    late = json.loads(json.dumps(many))
    late[2900]["content"] = "edited"
    assert history_place(before, described([*late, many[0]]))["index"] == 2900
    early = json.loads(json.dumps(many))
    early[100]["content"] = "edited"
    place = history_place(before, described([*early, many[0]]))
    assert place["block"] <= 100 < place["block"] + place["length"]


def of_gemini(cached: int | None, **more: Any) -> Prompt:
    said = [
        {"role": "user", "parts": [{"text": "A question. " * 20}]},
        {"role": "model", "parts": [{"text": "Yes."}]},
    ]
    request = {"systemInstruction": {"parts": [{"text": SYSTEM}]}, "contents": [*said, said[0]], **more}
    parts = read_request(json.dumps(request).encode())
    return prompt_of(parts, "acme", Counts(3000, cached, None), provider="google", model="gemini-2.5-flash")


def test_reads_that_google_does_not_report_are_none_and_may_have_been_missed() -> None:
    assert of_gemini(None).gap == of_gemini(0).gap > 0
    assert prompt(counts=Counts(3001, None, None)).gap == 0


def test_a_request_that_names_an_entry_of_the_cache_leaves_that_alone() -> None:
    assert of_gemini(2100).left.tokens == 3000
    assert of_gemini(2100, cachedContent="cachedContents/a").left.tokens == 2100
    assert of_gemini(None, cachedContent="cachedContents/a").left.state == ""


def test_what_the_call_before_had_sent_has_neither_its_answer_nor_what_is_new() -> None:
    short, long = (
        [{"role": "user", "content": "word " * 300}],
        {"role": "assistant", "content": "word " * 300},
    )
    found = prompt([*short, long, *short], system="", tools=[], counts=Counts(3000, 0, 0))
    assert found.prefix_tokens == pytest.approx(1000, rel=0.02)


@pytest.mark.parametrize(("words", "model", "is_kept"), [
    (400, "gpt-4.1", False), (1000, "gpt-4.1", False), (2000, "gpt-4.1", True),
    (2000, "claude-sonnet-4-5", True), (2000, "claude-haiku-4-5", False),
])  # fmt: skip
def test_first_calls_share_nothing_where_the_provider_keeps_nothing_that_short(
    words: int, model: str, is_kept: bool
) -> None:
    said = {"system": "word " * words, "messages": [{"role": "user", "content": "question " * 4000}]}
    found = prompt_of(
        read_request(json.dumps(said).encode()), "acme", Counts(words + 4000, 0, 0), provider="", model=model
    )
    assert (found.prefix_tokens > 0) is is_kept
    assert (found.gap > 0) is is_kept


def test_first_calls_share_what_stands_before_the_last_mark_of_tools_and_system_prompt() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    blocks = [{"type": "text", "text": "word " * 3000}, {"type": "text", "text": "more " * 3000}]
    question = [{"role": "user", "content": "question"}]

    def shared(system: list[dict[str, Any]], tools: list[dict[str, Any]]) -> int:
        return prompt(question, system=system, tools=tools, counts=Counts(9000, 0, 9000)).prefix_tokens

    whole = shared([blocks[0], {**blocks[1], **mark}], TOOLS)
    half = shared([{**blocks[0], **mark}, blocks[1]], TOOLS)
    long = {**TOOLS[0], "description": "word " * 3000}
    only_tools = shared(blocks, [{**long, **mark}])
    assert half == pytest.approx(whole / 2, rel=0.1)
    assert only_tools == pytest.approx(9000 / 3, rel=0.2)
