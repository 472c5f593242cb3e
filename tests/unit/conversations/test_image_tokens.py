"""Estimates of tokens of images, documents and audio, compared with the examples of the providers' documents."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.conversations.image_tokens import image_rule, image_tokens, media_tokens
from llmledgerd.conversations.token_families import family_of


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4)
    return base64.b64encode(head + bytes(300)).decode()


def image(width: int, height: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{png(width, height)}", **more},
    }


@pytest.mark.parametrize(
    ("model", "width", "height", "tokens"),
    [
        ("gpt-4o", 1024, 1024, 765),
        ("gpt-4o", 2048, 4096, 1105),
        ("gpt-4.1", 1024, 1024, 765),
        ("gpt-5", 1024, 1024, 630),
        ("o3", 1024, 1024, 675),
        ("gpt-4o-mini", 1024, 1024, 25_501),
        ("gpt-4.1-mini", 1024, 1024, 1024 * 1.62),
        ("gpt-4.1-nano", 1800, 2400, 1452 * 2.46),
        ("gpt-5-mini", 1800, 2400, 1452 * 1.62),
        ("gpt-5.4-mini", 1024, 1024, 1024 * 1.62),
        ("o4-mini", 1024, 1024, 1024 * 1.72),
        ("gpt-5.2", 1800, 2400, 1452),
        ("gpt-5.4", 1024, 1024, 1024),
        ("claude-sonnet-4-5", 200, 200, 64),
        ("claude-sonnet-4-5", 1092, 1092, 1521),
        ("claude-sonnet-4-20250514", 3000, 2000, 48 * 32),
        ("claude-opus-4-7", 1092, 1092, 1521),
        ("anthropic.claude-opus-4-8-v1:0", 2576, 1456, 4784),
        ("gemini-2.5-pro", 300, 300, 258),
        ("gemini-2.5-pro", 960, 540, 1548),
        ("gemini-3-pro-preview", 960, 540, 1120),
    ],
)
def test_an_image_costs_what_the_providers_document_says(
    model: str, width: int, height: int, tokens: float
) -> None:
    found = image_tokens(image(width, height), family_of("", model).images)
    assert found == pytest.approx(tokens, rel=0.02)


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-4o", 85), ("gpt-5", 70), ("gpt-4o-mini", 2833), ("gpt-5.4", 256)]
)
def test_an_image_at_low_detail_costs_the_base(model: str, tokens: int) -> None:
    assert image_tokens(image(3000, 3000, detail="low"), family_of("", model).images) == tokens


def test_detail_high_is_less_than_what_a_model_takes_by_itself() -> None:
    rule = image_rule("openai", "gpt-5.5")
    assert image_tokens(image(4000, 3000, detail="high"), rule) <= 2500 * 1.2
    assert image_tokens(image(4000, 3000), rule) > 9000 * 1.2


@pytest.mark.parametrize(
    "head",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (640).to_bytes(4) + (480).to_bytes(4),
        b"GIF89a" + (640).to_bytes(2, "little") + (480).to_bytes(2, "little"),
        b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08" + (480).to_bytes(2) + (640).to_bytes(2),
        b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (639).to_bytes(3, "little") + (479).to_bytes(3, "little"),
        b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a"
        + (640).to_bytes(2, "little")
        + (480).to_bytes(2, "little"),
        b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (639 | 479 << 14).to_bytes(4, "little"),
    ],
    ids=["png", "gif", "jpeg", "webp extended", "webp lossy", "webp lossless"],
)
def test_the_size_is_read_from_the_first_bytes_of_each_format(head: bytes) -> None:
    data = base64.b64encode(head + bytes(300)).decode()
    found = image_tokens({"source": {"data": data}}, image_rule("anthropic", "claude-sonnet-4-5"))
    assert found == 23 * 18


def test_pages_of_a_pdf_are_counted_where_they_can_be() -> None:
    pdf = base64.b64encode(b"%PDF-1.4 /Type /Pages " + b"<< /Type /Page >> " * 7).decode()
    assert media_tokens("application/pdf", pdf, image_rule("gemini", "gemini-2.5-pro")) == 7 * 258
    assert media_tokens("application/pdf", pdf, image_rule("gemini", "gemini-3-pro")) == 7 * 560


def test_audio_costs_by_its_seconds() -> None:
    wav = (
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0"
        + (16_000).to_bytes(4, "little")
        + (32_000).to_bytes(4, "little")
    )
    data = base64.b64encode(wav + bytes(320_000)).decode()
    assert media_tokens("audio/wav", data, image_rule("gemini", "gemini-2.5-pro")) == pytest.approx(
        320, rel=0.01
    )
    assert media_tokens("audio/wav", data, image_rule("openai", "gpt-4o-audio")) == pytest.approx(
        100, rel=0.01
    )


@given(
    st.integers(0, 2**31),
    st.integers(0, 2**31),
    st.sampled_from(
        ["gpt-4o", "gpt-5.5", "gpt-5-mini", "claude-3-opus", "claude-opus-5", "gemini-2.5", "gemini-3"]
    ),
    st.sampled_from([None, "low", "high", "auto", 7]),
)
def test_an_image_of_any_size_takes_a_finite_number_of_tokens(
    width: int, height: int, model: str, detail: Any
) -> None:
    found = image_tokens(image(width, height, detail=detail), family_of("", model).images)
    assert 1 <= found < float("inf")
