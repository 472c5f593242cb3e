from __future__ import annotations

import json
from typing import Any

import pytest

from llmledgerd.conversations import Identity, identity_of, read_answer, read_request

USER: Any = {"role": "user", "content": "Look at the files, and say what they are for."}
CALL_ID = "call_a1B2c3D4e5F6g7H8i9J0k1L2"


def identify(
    request: Any, response: Any = None, organization: str = "acme", at: tuple[int, int] = (0, 0)
) -> Identity:
    answer = b"" if response is None else json.dumps(response).encode()
    started_us, ended_us = (1_000_000 * seconds for seconds in at)
    found = read_request(json.dumps(request).encode()), read_answer(answer)
    return identity_of(*found, organization, started_us, ended_us)


def chat(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


def answered(**message: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "choices": [{"index": 0, "message": {"role": "assistant", **message}}]}


def called(call_id: str = CALL_ID, arguments: str = '{"path":"a","lines":10}') -> dict[str, Any]:
    function = {"name": "read", "arguments": arguments}
    return {"content": None, "tool_calls": [{"id": call_id, "type": "function", "function": function}]}


def test_the_next_step_names_the_turn_before_it_and_shares_its_conversation() -> None:
    first = identify(chat(USER), answered(**called()))
    asked = {"role": "assistant", **called()}
    result = {"role": "tool", "tool_call_id": CALL_ID, "content": "x"}
    second = identify(chat(USER, asked, result), answered(content="These are tests."))
    third = identify(
        chat(USER, asked, result, {"role": "assistant", "content": "These are tests."}, USER),
        answered(content="Yes."),
    )

    assert first.parent_turn_id == ""
    assert first.conversation_id == first.turn_id
    assert second.parent_turn_id == first.turn_id
    assert third.parent_turn_id == second.turn_id
    assert {second.conversation_id, third.conversation_id} == {first.conversation_id}
    assert len({first.turn_id, second.turn_id, third.turn_id}) == 3


@pytest.mark.parametrize(
    "sent_back",
    [
        {"role": "assistant", "content": "", "tool_calls": called("call_0")["tool_calls"]},
        {
            "role": "assistant",
            "refusal": None,
            "annotations": [],
            **called("call_0", '{ "lines": 10.0, "path": "a" }'),
        },
        {
            "role": "assistant",
            "content": [],
            "reasoning_content": "hm",
            "tool_calls": called("")["tool_calls"],
        },
    ],
)
def test_what_sdks_change_in_a_message_changes_no_name(sent_back: Any) -> None:
    first = identify(chat(USER), answered(**called("call_0")))

    assert identify(chat(USER, sent_back, USER)).parent_turn_id == first.turn_id


def test_ids_that_a_server_counts_tell_no_runs_apart() -> None:
    one = identify(chat(USER), answered(**called("call_0")))
    other = identify(chat({"role": "user", "content": "Another task"}), answered(**called("call_0")))

    assert one.turn_id != other.turn_id


def test_runs_with_one_beginning_stay_apart_where_their_answers_differ() -> None:
    one = identify(chat(USER), answered(content="Yes."))
    other = identify(chat(USER), answered(content="No."))

    assert one.conversation_id != other.conversation_id
    assert one.opening_names == other.opening_names


def test_a_call_that_the_provider_ran_itself_names_no_turn() -> None:
    searched = {
        "type": "tool_search_call",
        "id": "tsc_0a1b2c3d4e5f6g7h8i9j",
        "execution": "server",
        "status": "completed",
    }
    function = {"type": "function_call", "call_id": CALL_ID, "name": "read", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": CALL_ID, "output": "x"}
    first = identify({"input": [USER]}, {"id": "resp_1", "output": [searched, function]})
    for call_id in (None, searched["id"]):
        sent = {**searched, "call_id": call_id}
        second = identify({"input": [USER, sent, function, result]}, {"id": "resp_2", "output": []})

        assert second.parent_turn_id == first.turn_id


def chat_of(*said: str) -> list[str]:
    """Return the conversations of the calls of a chat: user and assistant in turn."""
    roles = ("user", "assistant")
    turns = [{"role": roles[number % 2], "content": text} for number, text in enumerate(said)]
    ends = range(1, len(said), 2)
    return [
        identify(chat(*turns[:end]), answered(content=said[end]), at=(end, end)).conversation_id
        for end in ends
    ]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [("Fix it", "Done."), ("step 1", "ok"), ("hi", "Hello, customer 17"), ("2 + 2?", "4")],
)
def test_a_chat_that_begins_with_few_words_is_one_from_its_first_call(asked: str, answer: str) -> None:
    assert len(set(chat_of(asked, answer, "And now?", "Yes.", "And then?", "No."))) == 1


def test_chats_that_begin_with_one_greeting_part_at_what_is_said_next() -> None:
    one = chat_of("Hello", "Hello! How can I help?", "Fix it", "Done.", "And now?", "Yes.")
    other = chat_of("Hello", "Hello! How can I help?", "Drop it", "Done.", "And now?", "Yes.")

    assert one[1] == one[2]
    assert other[1] == other[2]
    assert not set(one[1:]) & set(other[1:])


def test_no_organizations_ids_are_anothers() -> None:
    asked = chat(USER, {"role": "assistant", **called()}, USER)
    one, other = (identify(asked, answered(content="Yes."), who) for who in ("acme", "apex"))

    names = [
        {found.conversation_id, found.turn_id, found.parent_turn_id, *found.turn_names, *found.opening_names}
        for found in (one, other)
    ]
    assert not names[0] & names[1]


def test_ids_are_24_hexadecimal_characters_and_few() -> None:
    calls = [
        {"id": f"{CALL_ID}{number}", "function": {"name": "a", "arguments": "{}"}} for number in range(99)
    ]
    found = identify(chat(USER), answered(content="", tool_calls=calls))

    names = [found.conversation_id, found.turn_id, *found.turn_names, *found.opening_names]
    assert all(len(name) == 24 and set(name) <= set("0123456789abcdef") for name in names)
    assert len(found.turn_names) == 12
    assert len(found.opening_names) <= 7


def test_an_answer_that_the_provider_keeps_is_found_by_its_id_and_by_its_words() -> None:
    answer = {
        "id": "resp_1",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hi"}],
            }
        ],
    }
    for asked in ("Hello", [{"role": "user", "content": "Hello"}]):
        first = identify({"input": asked}, answer)
        names = {first.turn_id, *first.turn_names}
        kept = identify({"input": "More", "previous_response_id": "resp_1"})
        sent = identify(
            {"input": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}, USER]}
        )
        referred = identify(
            {"input": [{"role": "user", "content": "Hello"}, {"type": "item_reference", "id": "msg_1"}, USER]}
        )

        assert {kept.parent_turn_id, sent.parent_turn_id, referred.parent_turn_id} <= names
        assert kept.conversation_id == kept.parent_turn_id


def test_a_conversation_that_the_provider_keeps_is_named_by_its_id() -> None:
    one = identify({"input": "Hello", "conversation": {"id": "conv_1"}}, {"id": "resp_1", "output": []})
    other = identify({"input": "More", "conversation": "conv_1"}, {"id": "resp_2", "output": []})

    assert one.conversation_id == other.conversation_id != one.turn_id

    run = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1"}
    threads = [identify({"assistant_id": "asst_1"}, run), identify(None, {**run, "id": "run_2"})]
    assert len({found.conversation_id for found in threads}) == 1
    assert len({found.turn_id for found in threads}) == 2


def test_a_history_that_the_provider_compacted_is_named_by_what_stands_for_it() -> None:
    for own in ({"id": "cmp_1"}, {}):
        item = {"type": "compaction", "encrypted_content": "abc", **own}
        compacted = identify({"input": [USER]}, {"id": "resp_1", "output": [item]})
        after = identify({"input": [item, USER]})

        assert after.parent_turn_id in {compacted.turn_id, *compacted.turn_names}


def test_an_answer_that_the_request_begins_is_one_turn_with_it() -> None:
    begun = {"role": "assistant", "content": '{"a":'}
    first = identify(chat(USER, begun), answered(content=" 1}"))
    second = identify(chat(USER, {"role": "assistant", "content": '{"a": 1}'}, USER))

    assert first.parent_turn_id == ""
    assert second.parent_turn_id == first.turn_id


def test_attempts_without_an_answer_share_their_turn_and_the_next_names_it() -> None:
    failed = [identify(chat(USER)), identify(chat(USER), {"error": {"message": "overloaded"}})]
    answer = identify(chat(USER), answered(content="Yes."))

    assert failed[0].turn_id == failed[1].turn_id != ""
    assert failed[0].turn_id in answer.opening_names


def test_only_a_call_soon_after_an_attempt_without_an_answer_is_its_next_one() -> None:
    failed = identify(chat(USER), at=(0, 600))

    def is_next(seconds: int) -> bool:
        later = identify(chat(USER), answered(content="Yes."), at=(seconds, seconds + 1))
        return failed.turn_id in later.opening_names

    assert [is_next(seconds) for seconds in (0, 300, 601, 660, 900, 3600)] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]


def test_equal_turns_of_one_run_have_names_of_their_own() -> None:
    asked = {"role": "assistant", **called("call_0")}
    pending = {"role": "tool", "tool_call_id": "call_0", "content": "pending"}
    histories = [[USER, *[asked, pending] * number] for number in range(4)]

    turns = [identify(chat(*one), answered(**called("call_0"))) for one in histories]

    assert len({one.turn_id for one in turns}) == 4
    assert [one.parent_turn_id for one in turns[1:]] == [one.turn_id for one in turns[:-1]]


def test_calls_that_are_no_conversation_have_no_ids() -> None:
    assert identify({"input": ["a", "b"], "model": "m"}, {"data": [{"embedding": [1.0]}]}) == Identity()
    assert identify({"query": "a", "documents": ["b"]}, {"results": [{"index": 0}]}) == Identity()
    assert identity_of(read_request(b""), read_answer(b""), "") == Identity()


def test_a_sub_agents_opening_is_what_its_starter_handed_on() -> None:
    task = "Find every place where the retry limit is read, and list the files."
    starter = identify(chat(USER), answered(**called(arguments=json.dumps({"prompt": task}))))

    plain = identify(chat({"role": "user", "content": task}))
    told = identify(chat({"role": "user", "content": f"You are a helper. Your task: {task} Report briefly."}))

    assert set(plain.opening_names) & set(starter.turn_names)
    assert set(told.opening_names) & set(starter.turn_names)
    assert plain.parent_turn_id == ""


def test_what_an_answer_only_repeats_is_not_handed_on() -> None:
    rule = "Every answer of this service is given without any warranty of the provider"
    quoting = identify(
        chat({"role": "user", "content": f"Quote the rule: {rule}. Then say more than eighty characters."}),
        answered(content=f"{rule}. This is what the rule says, in the words of those who wrote it."),
    )
    other = identify(chat({"role": "user", "content": f"{rule}. What is the weather like in Paris today?"}))

    assert not set(other.opening_names) & set(quoting.turn_names)
