"""Secrets that a stream's chunks part are hidden before the spool, and the stream stays one."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from llmledgerd.config.settings import Config
from llmledgerd.redaction import Redactor
from tests.helpers.secrets import SETS, planted
from tests.security.planted import KINDS

ALL = Redactor.of(Config(redact=SETS))
KEY = "sk-proj-aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0"


def chat(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def anthropic(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": text}}


def gemini(text: str) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": text}]}}]}


def responses(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text}


SHAPES = (chat, anthropic, gemini, responses)


def cut(dice: random.Random, text: str) -> list[str]:
    places = sorted(dice.sample(range(1, len(text)), k=min(len(text) - 1, dice.randrange(1, 12))))
    return [text[low:high] for low, high in zip([0, *places], [*places, len(text)], strict=True)]


def stream(shape: Any, texts: list[str], indent: int | None = None) -> str:
    return "".join(f"data: {json.dumps(shape(text), indent=indent)}\n\n" for text in texts)


def through(body: str) -> str:
    line = json.dumps(
        {"protocol_version": 4, "user_id": "jane@example.org", "response_stream": body}
    ).encode()
    (out,) = ALL.lines([line + b"\n"])
    assert len(out) == len(line) + 1
    after = json.loads(out)
    assert after["user_id"] == "jane@example.org"
    return str(after["response_stream"])


def texts_of(body: str) -> str:
    found = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name in ("content", "partial_json", "text", "delta") and isinstance(inner, str):
                    found.append(inner)
                else:
                    look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    for event in body.split("\n\n"):
        if event:
            look(json.loads(event.removeprefix("data: ")))
    return "".join(found)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_secret_that_chunks_part_is_hidden_and_the_rest_stays(shape: Any, indent: int | None) -> None:
    for seed in range(100):
        dice = random.Random(seed)
        secret, text = planted(dice)
        whole = f'"so" is\n it \\ {text} \u00e9\U0001f511 and that'
        after = texts_of(through(stream(shape, cut(dice, whole), indent)))
        assert len(after) == len(whole), seed
        assert secret not in after, seed
        assert after.startswith('"so" is\n it \\ '), seed
        assert after.endswith(" and that"), seed


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_hidden_where_it_is_parted(kind: str) -> None:
    dice = random.Random(5)
    for shape in SHAPES:
        secret, text = KINDS[kind](dice)
        text = f"so: {text} it is".replace("\0", "@")
        at = text.index(secret) + len(secret) // 2
        after = through(stream(shape, [text[: at - 5], text[at - 5 : at], text[at:]]))
        assert secret not in texts_of(after)
        assert secret[: len(secret) // 2] not in after


def test_a_stream_without_secrets_and_one_that_was_cut_stay_as_they_are() -> None:
    body = stream(chat, ["nothing ", "to see", ' "here" \\ \n'])
    assert through(body) == body
    cut_off = stream(chat, ["a", KEY[:10], KEY[10:]])[:-30]
    assert KEY[12:30] not in through(cut_off).replace("\\", "") or KEY[:10] not in through(cut_off)


def test_any_cut_of_a_line_leaves_json_whole() -> None:
    line = json.dumps(
        {"response_stream": stream(chat, cut(random.Random(1), f'a "{KEY}" \\n b\u00e9'))}
    ).encode()
    for end in range(len(line)):
        (out,) = ALL.lines([line[:end] + b"\n"])
        assert len(out) == end + 1
