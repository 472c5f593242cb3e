from __future__ import annotations

import pytest

from llmledgerd.conversations.parts import CALL, Part
from llmledgerd.conversations.provided_ids import provided_ids


@pytest.mark.parametrize(
    "call_id",
    [
        "call_a1B2c3D4e5F6g7H8i9J0k1L2",
        "toolu_01A09q90qw90lq917835lq9",
        "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q",
        "D681PevKs",
        "search_w8z5e1m2k0x9",
        "chatcmpl-tool-2f6d1c0a9b8e4d7c8f1a2b3c4d5e6f70",
        "550e8400-e29b-41d4-a716-446655440000",
        "function-call-18243439723845734210",
    ],
)
def test_random_ids_are_a_providers(call_id: str) -> None:
    assert provided_ids([Part(CALL, "assistant", 0, {}, "search", call_id)]) == [call_id]


@pytest.mark.parametrize(
    "call_id",
    [
        "", "0", "call_0", "call_000000000001", "functions.get_weather:0", "toolcall12", "toolCall12", "getWeather1",
        "weather", "call_run3_step2", "call_getcurrentweatherforcity", "search_files_12",
    ],
)  # fmt: skip
def test_ids_that_are_counted_or_made_of_words_are_not(call_id: str) -> None:
    assert provided_ids([Part(CALL, "assistant", 0, {}, "search", call_id)]) == []
