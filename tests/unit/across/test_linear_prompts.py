"""Whatever a prompt says is described, estimated and judged in time that grows with its length, and no faster."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llmledgerd.conversations import handed, parts
from llmledgerd.conversations.prompt_description import described_system
from llmledgerd.conversations.sayings import context
from llmledgerd.conversations.token_families import family_of
from llmledgerd.conversations.token_weights import value_tokens
from llmledgerd.conversations.tool_errors import reads_as_error
from tests.helpers.growth import grows_linearly

OPENAI = family_of("openai", "gpt-5")


def said(text: str) -> parts.Part:
    return parts.Part(parts.TEXT, "user", 0, text)


READERS: dict[str, Callable[[str], object]] = {
    "description of a system prompt": lambda text: described_system(text, 5),
    "tokens": lambda text: value_tokens(text, OPENAI),
    "error of a tool": reads_as_error,
    "what was asked": lambda text: context([said(text)]),
    "what is handed on": lambda text: handed.on(5, [said(text)], [said(text)]),
    "what was handed on": lambda text: handed.opening(5, [said(text), said(text + ".")]),
}

TEXTS: dict[str, Callable[[int], str]] = {
    "one word": lambda n: "x" * n,
    "spaces": lambda n: " " * n,
    "line breaks": lambda n: "\n" * n,
    "marks": lambda n: ".:;!?<>()" * (n // 9),
    "digits": lambda n: "1" * n,
    "digits between dashes": lambda n: "1-" * (n // 2),
    "digits between underscores and a letter": lambda n: "1_" * (n // 2) + "a",
    "a word and dashes": lambda n: "a1" + "-" * n,
    "words and dashes": lambda n: ("a1" + "-" * 99 + " ") * (n // 102),
    "years": lambda n: "2024-" * (n // 5),
    "dates": lambda n: "Mon, Jan 2 2024-01-02T03:04 " * (n // 28),
    "names of days": lambda n: "Mon, " * (n // 5) + "1",
    "times": lambda n: "1:" * (n // 2),
    "slashes": lambda n: "1/" * (n // 2),
    "ordinals": lambda n: "1st of " * (n // 7),
    "half UUIDs": lambda n: "0a1b2c3d-0a1b-" * (n // 14),
    "hexadecimal": lambda n: "a1" * (n // 2),
    "Chinese": lambda n: "這個" * (n // 6),
    "scripts": lambda n: "aéжא你あ한🙂1-" * (n // 24),
    "lone surrogates": lambda n: "\ud800" * (n // 3),
    "errors": lambda n: "error " * (n // 6),
    "stars before an error": lambda n: "* " * (n // 2) + "error",
    "open tags": lambda n: "<think>" * (n // 7),
    "braces": lambda n: '{"error":' * (n // 9),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("reader", READERS)
def test_every_text_of_a_prompt_is_read_in_time_in_proportion(reader: str, text: str) -> None:
    grows_linearly(READERS[reader], TEXTS[text])
