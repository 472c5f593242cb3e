"""Events that differ in their text alone (``usage.streams.merging``)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmledgerd.usage.streams import assembly, chat, merging
from llmledgerd.usage.streams.assembled import Whole


def _chunk(delta: dict[str, Any], finish: str | None = None, **root: Any) -> str:
    return json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **root})


def _texts(*pieces: str) -> list[str]:
    return [_chunk({"content": piece}) for piece in pieces]


def _merged(events: list[str]) -> list[str]:
    return merging.merged(events, chat.TEXT, chat.MORE_TEXT.is_mere_text, chat.FILLER)


def _one_by_one(events: list[str]) -> Whole:
    chunks = chat.Chunks()
    for event in events:
        chunks.take(json.loads(event))
    return chunks.whole(is_done=True)


def test_a_run_of_texts_is_one_event() -> None:
    events = [_chunk({"role": "assistant"}), *_texts("a", "b \\ ", '"c', "\u00e4\n"), _chunk({}, "stop")]
    assert _merged(events) == [events[0], _chunk({"content": 'ab \\ "c\u00e4\n'}), events[-1]]


def test_what_an_event_ends_in_against_the_analysis_of_traffic_keeps_no_run_apart() -> None:
    events = [_chunk({"content": "ab"[at % 2]}, obfuscation="x" * at) for at in range(9)]
    assert _merged(events) == _texts("ababababa")


@pytest.mark.parametrize(
    "other",
    [
        _chunk({"role": "assistant", "content": "x"}),
        _chunk({"content": "x", "refusal": "no"}),
        _chunk({"refusal": "no", "content": "x"}),
        _chunk({"content": "x"}, content="y"),
        _chunk({"content": "x"}, "stop"),
        _chunk({"content": None}),
    ],
)
@pytest.mark.parametrize("at", [0, 3, 7])
def test_an_event_that_only_begins_or_ends_like_its_neighbors_stays_by_itself(other: str, at: int) -> None:
    events = _texts(*"abcdefg")
    events.insert(at, other)
    found = _merged(events)
    assert other in found
    assert _one_by_one(found) == _one_by_one(events)


def test_an_event_whose_other_members_add_up_is_no_pattern() -> None:
    logprobs = [{"token": "a", "logprob": -0.1}]
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": {"content": logprobs}, "finish_reason": None}
    events = [json.dumps({"choices": [choice]})] * 9
    assert _merged(events) == events
    both = [_chunk({"content": "a", "reasoning": "b"})] * 9
    assert _merged(both) == both


def test_halves_of_a_character_are_not_put_together_as_text() -> None:
    events = [
        event.replace("?", half)
        for event, half in zip(_texts(*"???"), ["\\ud83d", "\\ude00", "x"], strict=True)
    ]
    assert _merged(events) == events


def test_a_stream_that_ends_within_an_event_keeps_what_stands_before() -> None:
    events = _texts(*"abcdefghij")
    stream = "".join(f"data: {event}\n\n" for event in events)
    for cut in range(1, len(events[0]) + 9):
        said = json.loads(bytes(assembly.assemble(stream[:-cut]).response["choices"]))[0]["message"][
            "content"
        ]
        assert said == ("abcdefghij" if cut < 3 else "abcdefghi")
