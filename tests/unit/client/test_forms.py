"""Uploads: a form's texts are kept, and of a file what it is."""

from __future__ import annotations

import io
from typing import Any

import pytest
import urllib3

from llmledger.instrumentation import forms
from llmledger.instrumentation.forms import END_BYTES, WHOLE_BYTES, parts_of, parts_of_stream, recorded

FILE = {"filename": "a.mp3", "content_type": "audio/mpeg", "bytes": 4}
FIELDS: list[tuple[str, Any]] = [
    ("model", "whisper-1"),
    ("granularities[]", "word"),
    ("granularities[]", "segment"),
    ("file", ("a.mp3", b"\r\n--", "audio/mpeg")),
    ("prompt", "Grüße"),
]


def encoded(fields: list[tuple[str, Any]]) -> dict[str, Any] | None:
    return recorded(parts_of(*urllib3.encode_multipart_formdata(fields, boundary="b0undary")))


def test_texts_are_kept_and_a_file_is_described() -> None:
    assert encoded(FIELDS) == {
        "model": "whisper-1",
        "granularities[]": ["word", "segment"],
        "file": FILE,
        "prompt": "Grüße",
    }


def test_the_ends_of_a_long_form_have_its_fields() -> None:
    file = ("a.mp3", b"\0" * (WHOLE_BYTES + END_BYTES), "audio/mpeg")
    form = encoded([("model", "m"), ("file", file), ("language", "de")])
    assert form == {
        "model": "m",
        "file": {"filename": "a.mp3", "content_type": "audio/mpeg"},
        "language": "de",
    }


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_form_that_was_cut_raises_nothing_and_shows_no_byte_of_the_file(cut: int) -> None:
    body, kind = urllib3.encode_multipart_formdata(
        [("model", "m"), ("file", ("s", b"SECRET", "application/x-y"))], boundary="b"
    )
    form = recorded(parts_of(body[:cut], kind)) or {}
    assert "SECRET" not in str(form)
    assert form.get("model", "m") in ("m", {"content_type": "text/plain"})


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", "x"])
def test_a_form_without_a_boundary_has_no_parts(kind: str) -> None:
    assert recorded(parts_of(b"--b\r\n", kind)) is None


def test_a_part_with_a_file_name_is_a_file_whatever_its_type() -> None:
    form = encoded([("model", "m"), ("notes", ("n.txt", b"private", "text/plain"))])
    assert form == {"model": "m", "notes": {"filename": "n.txt", "content_type": "text/plain", "bytes": 7}}


def test_a_long_text_is_described() -> None:
    form = encoded([("prompt", "x" * (forms.LONGEST_FIELD + 1))])
    assert form == {"prompt": {"content_type": "text/plain", "bytes": forms.LONGEST_FIELD + 1}}


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("content", [b"abcd", io.BytesIO(b"abcd")], ids=["bytes", "file"])
def test_a_form_of_httpx_is_read_before_it_is_encoded(library: str, content: Any) -> None:
    request = pytest.importorskip(library).Request(
        "POST",
        "https://a.example",
        data={"model": "whisper-1", "temperature": 0},
        files={"file": ("a.mp3", content, "audio/mpeg")},
    )
    form = recorded(parts_of_stream(request.stream))
    assert form == {"model": "whisper-1", "temperature": "0", "file": FILE}
    assert b"abcd" in request.read()


def test_a_form_of_aiohttp_is_read_before_it_is_encoded() -> None:
    form = pytest.importorskip("aiohttp").FormData()
    form.add_field("model", "whisper-1")
    form.add_field("file", b"abcd", filename="a.mp3", content_type="audio/mpeg")
    assert recorded(forms.parts_of_writer(form())) == {"model": "whisper-1", "file": FILE}


def test_a_part_of_an_unknown_length_is_described_without_it() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"abcd"

    request = pytest.importorskip("httpx").Request("POST", "https://a.example", files={"f": ("a", Endless())})
    found = recorded(parts_of_stream(request.stream)) or {}
    assert found["f"]["filename"] == "a"
