"""Images and files inside payloads: cut out, and put back byte for byte."""

from __future__ import annotations

import base64
import json
import random
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.payloads import attachments, names

PNG = b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(3_000)
WAV = b"RIFF\x00\x00\x00\x00WAVE" + random.Random(2).randbytes(3_001)
OTHER = random.Random(3).randbytes(3_002)
NAME = partial(names.file_name, "acme")


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def url_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()


FILES: dict[str, tuple[Any, bytes, str]] = {
    "openai image": (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{text(PNG)}"}}, PNG, "image/png",
    ),
    "openai responses image": (
        {"type": "input_image", "image_url": f"data:image/webp;charset=x;base64,{text(OTHER)}"}, OTHER, "image/webp",
    ),
    "openai audio": ({"input_audio": {"data": text(WAV), "format": "wav"}}, WAV, "audio/wav"),
    "openai raw audio": ({"input_audio": {"data": text(OTHER), "format": "pcm16"}}, OTHER, "application/octet-stream"),
    "openai file": (
        {"file": {"filename": "x.pdf", "file_data": f"data:application/pdf;base64,{text(OTHER)}"}}, OTHER, "application/pdf",
    ),
    "openai image made": ({"data": [{"b64_json": text(OTHER)}]}, OTHER, "application/octet-stream"),
    "anthropic": (
        {"source": {"type": "base64", "media_type": "image/jpeg", "data": text(OTHER)}}, OTHER, "image/jpeg",
    ),
    "gemini": ({"inlineData": {"data": url_text(OTHER), "mimeType": "video/mp4"}}, OTHER, "video/mp4"),
    "bedrock": ({"document": {"format": "docx", "source": {"bytes": text(PNG)}}}, PNG, "image/png"),
}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("kind", FILES)
def test_what_every_provider_calls_a_file_is_cut_out_and_comes_back(kind: str, indent: int | None) -> None:
    part, content, media_type = FILES[kind]
    payload = json.dumps(
        {"messages": [{"role": "user", "content": ["look", part, "ü"]}]}, indent=indent
    ).encode()
    short, files = attachments.cut(payload, "store", 1_000, NAME)
    assert [(file.content, file.media_type) for file in files] == [(content, media_type)]
    assert len(short) < 600
    assert attachments.MARK in short
    json.loads(short)
    stored = {file.name: file.content for file in files}
    assert attachments.restored(short, lambda digest: stored.get(NAME(digest))) == payload


def test_a_file_that_cannot_be_had_leaves_its_reference() -> None:
    short, _ = attachments.cut(json.dumps({"file_data": text(PNG)}).encode(), "store", 0, NAME)
    assert attachments.restored(short, lambda digest: None) == short


def test_what_is_dropped_is_not_stored_and_says_what_it_was() -> None:
    short, files = attachments.cut(json.dumps({"file_data": text(PNG)}).encode(), "drop", 0, NAME)
    assert files == []
    assert json.loads(short)["file_data"].endswith(f";bytes={len(PNG)};type=image/png")


def test_one_file_in_many_places_has_one_name_and_other_organizations_another() -> None:
    payload = json.dumps([{"file_data": text(PNG)}, {"b64_json": text(PNG)}]).encode()
    _, files = attachments.cut(payload, "store", 0, NAME)
    assert len({file.name for file in files}) == 1
    assert names.file_name("acme", "ab12") != names.file_name("other", "ab12")


@pytest.mark.parametrize(
    "value",
    [
        {"signature": text(OTHER)},  # Anthropic's thinking
        {"type": "redacted_thinking", "data": text(OTHER)},
        {"encrypted_content": text(OTHER)},
        {"thoughtSignature": text(OTHER)},
        {"embedding": text(OTHER)},
        {"content": text(PNG)},
        {"file_data": text(PNG) + "="},
        {"file_data": text(PNG)[:-1] + "!"},
        {"file_data": text(PNG)[:500] + "\n" + text(PNG)[500:]},
        {"file_data": "not base64 at all, but long enough " * 100},
        {"file_data": text(PNG[:900])},
    ],
)
def test_what_is_no_file_or_would_come_back_otherwise_stays(value: object) -> None:
    payload = json.dumps(value).encode()
    assert attachments.cut(payload, "store", 1_000, NAME) == (payload, [])


def test_payloads_are_left_alone_by_keep() -> None:
    payload = json.dumps({"file_data": text(PNG)}).encode()
    assert attachments.cut(payload, "keep", 0, NAME) == (payload, [])


@given(st.binary(max_size=200), st.text(max_size=50), st.booleans())
def test_any_payload_comes_back_as_it_was(content: bytes, said: str, is_url: bool) -> None:
    encoded = (base64.urlsafe_b64encode if is_url else base64.b64encode)(content).decode()
    payload = json.dumps({"a": said, "source": {"media_type": "a/b", "data": encoded}, "b": said}).encode()
    short, files = attachments.cut(payload, "store", 10, NAME)
    stored = {file.name: file.content for file in files}
    assert len(stored) == (len(content) > 10)
    assert attachments.restored(short, lambda digest: stored[NAME(digest)]) == payload


@pytest.mark.parametrize(
    "unit", ['"data:', '"data": "data:image/png;', "data:a/b;base64,", '"media_type": "', "A", '"data":"A']
)
def test_no_text_makes_the_search_slow(unit: str) -> None:
    """Twice the text takes about twice as long; what is quadratic would take minutes here."""
    attachments.cut((unit * (2_000_000 // len(unit))).encode(), "store", 0, NAME)
