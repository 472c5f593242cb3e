"""What an exception says is recorded without what the request carried in confidence."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest

from llmledger.credentials import found, masked
from llmledger.harmless import bare_url, harmless_headers
from llmledger.instrumentation.cleaning import (
    LONGEST_KIND,
    LONGEST_TEXT,
    cleaned,
    cleaned_path,
    error_text,
    kind,
    unquoted,
)

KEY = "Zx81-Kq7vWnB42-pLmT"
URL = "https://api.openai.com/v1/chat/completions"
BEARER = {"Authorization": f"Bearer {KEY}\n", "Host": "api.openai.com"}


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"Illegal header value b'Bearer {KEY}\\n'", "Illegal header value b'***'"),
        (f"Invalid header value {('Bearer ' + KEY + chr(10)).encode()!r}", "Invalid header value b'***'"),
        (f"refused: {KEY[:9]}… (400)", "refused: *** (400)"),
        (f"refused: …{KEY[-7:]}", "refused: ***"),
        (f"token {b64encode(KEY.encode()).decode()} is bad", "token ***== is bad"),
        (f"token {b64encode(b'me:' + KEY.encode()).decode()} is bad", "token ***== is bad"),
        (f"token {KEY.encode().hex().upper()} is bad", "token *** is bad"),
        (f"[{KEY.lower()}]", "[***]"),
        ("no " + "".join(f"\\x{ord(one):02x}" for one in KEY), "no ***"),
        ("no " + "".join(f"\\u{ord(one):04X}" for one in KEY), "no ***"),
        ("no " + "".join(f"%{ord(one):02X}" for one in KEY), "no ***"),
        ("no " + "".join(f"&#{ord(one)};" for one in KEY), "no ***"),
        ("no " + "".join(f"&#x{ord(one):X};" for one in KEY), "no ***"),
    ],
)
def test_a_headers_value_is_taken_out_in_every_form(text: str, rest: str) -> None:
    assert cleaned(text, URL, [BEARER]) == rest


@pytest.mark.parametrize(
    ("url", "text", "rest"),
    [
        (f"{URL}?key={KEY}", f"400, url={URL}?key={KEY}", f"400, url={URL}?***"),
        (f"{URL}?key={quote('a/b c+é')}", "cannot read a/b c+é here", "cannot read *** here"),
        (f"https://me:{KEY}@api.openai.com/v1", f"no route to me:{KEY}@api.openai.com", "no route to ***@api.openai.com"),
        (f"{URL}#{KEY}", f"bad fragment '{KEY}'", "bad fragment '***'"),
        ("https://h/v1;key=Zx81Kq7vWnB42/chat", "no Zx81Kq7vWnB42", "no ***"),
    ],
)  # fmt: skip
def test_a_urls_secrets_are_taken_out(url: str, text: str, rest: str) -> None:
    assert cleaned(text, url) == rest


@pytest.mark.parametrize(
    "text",
    [
        "All connection attempts failed",
        "[Errno 111] Connection refused",
        "Cannot connect to host api.openai.com:443 ssl:default [Connect call failed ('1.2.3.4', 443)]",
        f"Client error '401 Unauthorized' for url '{URL}'",
        "Server disconnected without sending a response.",
        "maximum context length is 8192 tokens, max_tokens: 512",
        "unexpected mimetype: application/json",
    ],
)
def test_what_holds_nothing_of_it_stays_as_it_is(text: str) -> None:
    headers = {
        **BEARER,
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Connection": "keep-alive",
        "User-Agent": "OpenAI/Python 3.52.0",
        "Content-Type": "application/json",
        "X-Stainless-Async": "async:asyncio",
    }
    assert cleaned(text, URL, [headers]) == text


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("proxy http://me:secret@proxy:3128 refused", "proxy http://***@proxy:3128 refused"),
        ("redirected to https://x/y?sig=abc#z", "redirected to https://x/y?***"),
        ("with url: /v1/models?key=abcdef (Caused by", "with url: /v1/models?*** (Caused by"),
        ("Authorization: Bearer abcdefghij", "Authorization: ***"),
        ("sent Bearer abcdefghij", "sent Bearer ***"),
        ("Incorrect API key: sk-proj-abcdefgh12345678", "Incorrect API key: ***"),
        ("bad line bytearray(b'set-cookie: sid=abcdef; x')", "bad line bytearray(b'set-cookie: ***; x')"),
        ("{'api_key': 'abcdef', 'max_tokens': 5}", "{'api_key': '***', 'max_tokens': 5}"),
    ],
)
def test_what_looks_like_a_credential_is_taken_out_whoevers_it_is(text: str, rest: str) -> None:
    assert cleaned(text) == rest


def test_arguments_of_any_shape_are_looked_through() -> None:
    class Url:
        def __str__(self) -> str:
            return f"http://{KEY}@proxy"

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    sent = [None, {"auth": ("me", KEY)}, {"a": {"b": [KEY.encode()]}}, Broken(), Url(), 3]
    assert cleaned(f"no {KEY}", sent=sent) == "no ***"
    assert cleaned(f"http://{KEY}@proxy", sent=[Url()]) == "***"


@pytest.mark.parametrize(
    "written", ["ab&amp;cd&lt;ef", "ab&amp;cd&lt;ef&quot;g&#x27;h", "ab&amp;cd&lt;ef&#34;g&#39;h"]
)
def test_a_value_with_entities_of_html_is_taken_out(written: str) -> None:
    left = cleaned(f"<p>{written}</p>", sent=[{"x-key": "ab&cd<ef\"g'h"}])
    assert not any(part in left for part in ("ab", "cd", "ef"))


def test_the_name_of_a_class_is_recorded_where_it_cannot_hold_a_secret() -> None:
    secret = "Zx81Kq7vWnB42pLmT"
    headers = [{"Authorization": f"Bearer {secret}", "User-Agent": "OpenAI/Python 3.52.0"}]
    odd = type("Odd", (TimeoutError,), {})
    assert kind(odd("x"), URL, headers) == "Odd"
    assert kind(type("OpenAIError", (Exception,), {})(), URL, headers) == "OpenAIError"
    assert kind(type("Fähler", (Exception,), {})(), URL, headers) == "Fähler"
    for name in (
        f"Of{secret}",
        f"Of_{secret[3:14]}_x",
        "sk-proj-abcdefgh12345678",
        "sk_live_abcdefgh12345678",
        "two words",
        "a\nb",
        "x" * 101,
    ):
        assert kind(type(name, (odd,), {})("x"), URL, headers) == "Odd", name
    assert len("x" * 101) > LONGEST_KIND


def test_a_class_whose_name_cannot_be_had_is_its_base() -> None:
    class Secretive(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]  # as hostile as a metaclass can be
            raise RuntimeError

    class Broken(ValueError, metaclass=Secretive):
        pass

    assert kind(Broken()) == "ValueError"


def test_a_key_in_place_of_a_headers_name_is_taken_out() -> None:
    assert (
        cleaned(f"Illegal header name b'{KEY}'", URL, [{KEY: "authorization"}])
        == "Illegal header name b'***'"
    )


def test_a_short_password_is_taken_out_as_a_word() -> None:
    assert cleaned("pw1 is not right, spw1x is", "https://me:pw1@h/") == "*** is not right, spw1x is"


def test_the_text_goes_whole_where_there_is_too_much_to_look_for() -> None:
    error = ValueError(f"no {KEY}")
    assert error_text(error, URL, [{"cookie": "x" * (20 << 10)}]) == "ValueError"


def test_an_exception_whose_text_raises_is_its_class() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert error_text(Mute()) == "Mute"
    assert error_text(KeyError()) == "KeyError"


def test_a_text_is_cut_after_it_was_cleaned() -> None:
    text = "x" * (LONGEST_TEXT - 3) + f" {KEY} " + "y" * 100_000
    assert cleaned(text, URL, [BEARER]) == "x" * (LONGEST_TEXT - 3) + " **"


HOSTILE = [
    "a-" * 50_000,
    "?" * 90_000,
    "://" * 30_000,
    "api_key" * 15_000,
    "eyJ" * 30_000,
    "sk-" * 30_000,
    "?a=" * 30_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_takes_long(text: str) -> None:
    """Against a harmless text of the same length, in one run; the patterns see a bounded part of it."""

    def took(what: str) -> float:
        started = time.process_time()
        cleaned(what, URL, [BEARER])
        return time.process_time() - started

    harmless = min(took("some words and more " * (len(text) // 20)) for _ in range(3))
    assert min(took(text) for _ in range(3)) < 50 * harmless


def test_an_answer_that_quotes_the_request_is_recorded_without_the_quotation() -> None:
    body = f'{{"error": "invalid header value: Bearer {KEY}", "type": "application/json"}}'.encode()
    assert unquoted(body, URL, [BEARER, {"accept": "application/json"}]) == body.replace(KEY.encode(), b"***")
    assert unquoted(body * 10_000, URL, [BEARER]) == body * 10_000


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/key/sk-proj-abcdefgh12345678/chat", "/v1/key/***/chat"),
        ("/v1;key=abc/chat;x", "/v1/chat"),
        ("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ax/invoke", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ax/invoke"),
        ("/v1/projects/p/models/gemini-2.0-flash:predict", "/v1/projects/p/models/gemini-2.0-flash:predict"),
        ("/ai/run/@cf/meta/llama-3.1-8b-instruct", "/ai/run/@cf/meta/llama-3.1-8b-instruct"),
    ],
)  # fmt: skip
def test_a_path_loses_keys_and_parameters(path: str, rest: str) -> None:
    assert cleaned_path(path) == rest


@pytest.mark.parametrize(
    ("url", "rest"),
    [
        ("https://me:pw@h:8/v1?k=1#f", "https://h:8/v1"),
        ("http://me:p/w@h/v1", "http://h/v1"),
        ("http://[::1]:80/ai/run/@cf/x", "http://[::1]:80/ai/run/@cf/x"),
        ("h/x?y", "h/x"),
        ("", ""),
    ],
)
def test_a_bare_url_is_scheme_host_and_path(url: str, rest: str) -> None:
    assert bare_url(url) == rest


def test_headers_are_recorded_by_a_list() -> None:
    given = [("X-Request-Id", "r"), ("Set-Cookie", "s"), ("x-new", "n")]
    assert harmless_headers(given) == {"x-request-id": "r"}


SETTINGS: dict[str, Any] = {
    "model": "m",
    "api_key": "k",
    "apiKey": "k",
    "aws_session_token": "t",
    "max_tokens": 5,
    "prompt_cache_key": "kept",
    "extra_headers": {"X-Team": "h"},
    "vertex_credentials": {"private_key": "p", "type": "t"},
    "model_endpoint": "https://me:pw@h/v1?key=k",
    "tools": [
        {"headers": {"type": "object", "properties": {}}, "password": {"type": "string"}, "token": b"t"}
    ],
}


def test_settings_lose_what_is_a_credential_by_its_name() -> None:
    assert masked(SETTINGS) == {
        "model": "m",
        "api_key": "***",
        "apiKey": "***",
        "aws_session_token": "***",
        "max_tokens": 5,
        "prompt_cache_key": "kept",
        "extra_headers": {"X-Team": "***"},
        "vertex_credentials": {"private_key": "***", "type": "***"},
        "model_endpoint": "https://h/v1",
        "tools": [
            {"headers": {"type": "object", "properties": {}}, "password": {"type": "string"}, "token": "***"}
        ],
    }
    assert masked(None) is None
    assert {"k", "t", b"t"} <= {value for value in found(SETTINGS) if isinstance(value, str | bytes)}
