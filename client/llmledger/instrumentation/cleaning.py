"""Removal of a request's confidential values from exception texts. Pure.

Libraries quote invalid input: a header value with a newline, a URL with its query. Invariants:

- Of the header values, of query, fragment, user and password, and of whatever else the request was given,
  nothing of ``RUN`` characters stays, as it is or cut, escaped in part or wholly, percent-encoded, as HTML,
  in Base64 or hexadecimal.
- Of an answer that refuses the request, what it quotes of the same goes, and nothing else.
- Other text in the form of a credential is removed too: a proxy's, a redirect's, a cookie.
- Where there is more to look for than ``MOST_CHARACTERS``, the text goes whole.
- Time is linear in the text and in what is looked for; nothing of this runs while all is well.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_plus

from llmledger.harmless import split_url

RUN: Final = 6
"""Shorter pieces of a secret tell nothing, and ordinary words share them."""

MOST_CHARACTERS: Final = 8 << 10
"""Of what is looked for: some 40 ms. A usual request, of 200, takes 0.5."""

LONGEST_TEXT: Final = 4000
LONGEST_KIND: Final = 100
RUN_IN_KIND: Final = 9
"""Names of classes share shorter pieces with a user agent, such as ``openai``."""
LONGEST_REFUSAL: Final = 64 << 10
MASK: Final = "***"

_words = re.compile(r"[\x21-\x7e]{8,}").findall

_ORDINARY: Final = "bearer basic application/json text/event-stream keep-alive python asyncio cpython"
"""In the headers of every request, and in messages that hold nothing of it."""

_not_of_names = re.compile(r"\W")

_ORDINARY_NAME = re.compile(r"[A-Za-z_-]{1,40}")
"""Of a header. One with a digit may be a key in the wrong place."""

_KEY_SHAPED: Final = (
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|gsk|xai|hf|pplx|nvapi|r8|gh[opsu]|github_pat|glpat|xox[abprs])[-_]"
    r"(?:(?=[\w-]{0,60}\d)[\w-]{12,}|[\w-]{24,})|AIza[\w-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|ya29\.[\w.-]{12,}"
    r"|eyJ[\w-]{8,}(?:\.[\w-]*){0,2})"
)
_key_shaped = re.compile(_KEY_SHAPED)

_SCHEME: Final = "(?:bearer|basic|digest|negotiate|token|apikey|aws4-hmac-sha256)"
_CREDENTIALS = re.compile(
    rf"""
      ((?i:\b{_SCHEME}\s{{1,8}}))(?!\*)[^\s'",;<>]{{6,}}
    | (://)[^\s/@'"<>]+@
    | ([?\#])[^\s'"<>()\[\]{{}}?\#]*=[^\s'"<>()\[\]{{}}]*
    | ((?i:(?<![\w-])[\w-]{{0,40}}(?:api[-_]?key|secret|passw(?:or)?d|authorization|cookie|credentials?
       |signature|(?<![a-z])token)["']?\s?[:=]\s?(?:b?["'])?))(?!\d{{1,9}}\b)(?i:{_SCHEME}\s{{1,8}})?[^\s'"&;,<>()\[\]{{}}]+
    | {_KEY_SHAPED}
    """,
    re.VERBOSE,
)

_ENDS: Final = frozenset(" \t\r\n'\"?&=/:,;()[]{}<>@|")
"""Where what is left of a value that was found in part ends too."""

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
"""Keeps the length, as ``str.lower`` does not."""


def error_text(error: BaseException, url: str = "", sent: Iterable[Any] = ()) -> str:
    """Return what the exception says, as ``cleaned`` does; its class's name where that is nothing."""
    sent = tuple(sent)
    with suppress(Exception):  # its text is made by foreign code
        if text := cleaned(str(error), url, sent):
            return text
    return kind(error, url, sent)


def kind(error: BaseException, url: str = "", sent: Iterable[Any] = ()) -> str:
    """Return the name of the exception's class; its nearest base's where that name may hold a secret.

    Classes can be made at run time, with any text as a name. A name that is recorded is an identifier of
    ``LONGEST_KIND`` characters at most, is not shaped as a key, and has nothing of ``RUN_IN_KIND``
    characters in it that was sent.
    """
    values = [*_split(url)[1], *_values(sent)]
    for one in type(error).__mro__:
        with suppress(Exception):  # a metaclass is foreign code, too
            name = str(one.__name__)
            is_name = len(name) <= LONGEST_KIND and name.isidentifier() and not _key_shaped.search(name)
            if is_name and not _shares(name.translate(_LOWER), values):
                return name
    return "Exception"


def _shares(name: str, values: Iterable[str]) -> bool:
    """Return whether a part of the name was sent, as it is or with what no identifier has replaced or left out."""
    wanted = set(_runs(name, RUN_IN_KIND)) - set(_runs(_ORDINARY, RUN_IN_KIND))
    return any(
        not wanted.isdisjoint(_runs(_not_of_names.sub(instead, value.translate(_LOWER)), RUN_IN_KIND))
        for value in values
        for instead in ("_", "")
    )


def cleaned(text: str, url: str = "", sent: Iterable[Any] = ()) -> str:
    """Return the text less what the URL and what was ``sent`` hold in confidence.

    ``sent`` are mappings, of headers for the most part, or anything made of mappings, sequences and text.
    Of the URL scheme, host and path may stay.
    """
    shown, confidential = _split(url)
    found = list(dict.fromkeys([*confidential, *_values(sent)]))
    if sum(map(len, found)) > MOST_CHARACTERS:
        return ""
    text = _without(text[: 2 * LONGEST_TEXT], found, f"{_ORDINARY} {shown}")
    return _CREDENTIALS.sub(_masked, text)[:LONGEST_TEXT]


def unquoted(body: bytes, url: str, sent: Iterable[Any]) -> bytes:
    """Return an answer that refuses the request less what it quotes of the request's headers and URL.

    A body stays what it is but for that: words of eight characters and more that were sent, as they were sent.
    """
    if len(body) > LONGEST_REFUSAL:
        return body
    for value in (*_split(url)[1], *_values(sent)):
        for word in _words(value):
            if word.lower() not in _ORDINARY:
                body = body.replace(word.encode(), MASK.encode())
    return body


def cleaned_path(path: str) -> str:
    """Return a URL's path less its parameters (RFC 3986, 3.3), and less segments that are shaped as keys."""
    if ";" in path:
        path = "/".join(segment.partition(";")[0] for segment in path.split("/"))
    return _key_shaped.sub(MASK, path)


def _masked(match: re.Match[str]) -> str:
    lead = match[match.lastindex] if match.lastindex else ""
    return f"{lead}{MASK}{'@' if lead == '://' else ''}"


def _split(url: str) -> tuple[str, list[str]]:
    """Return what may be shown of a URL, and what may not."""
    lead, user, rest, query, fragment = split_url(url)
    parameters = [segment.partition(";")[2] for segment in rest.split("/")]
    hidden = [query, fragment, user, *user.split(":"), *parameters, *_key_shaped.findall(rest)]
    shown = lead + cleaned_path(rest)
    return shown, [part for part in hidden if part]


def _values(given: object, depth: int = 0) -> Iterator[str]:
    """Yield every text in what was given. A credential in Base64 is yielded decoded as well."""
    if isinstance(given, bytes | bytearray):
        given = given.decode("latin-1")
    if isinstance(given, str):
        yield given
        yield from _decoded(given)
    elif isinstance(given, Mapping) and depth < 4:
        for name, value in given.items():
            if str(name).lower() == "host":
                continue
            if not _ORDINARY_NAME.fullmatch(str(name)):
                yield str(name)
            yield from _values(value, depth + 1)
    elif isinstance(given, list | tuple | set) and depth < 4:
        for value in given:
            yield from _values(value, depth + 1)
    elif given is not None and not isinstance(given, bool | int | float):
        with suppress(Exception):  # a library's own URL or secret, whose text may be refused
            yield str(given)


def _decoded(value: str) -> Iterator[str]:
    scheme, _, token = value.partition(" ")
    if scheme.lower() in ("basic", "bearer"):
        yield token
    if scheme.lower() == "basic":
        with suppress(ValueError):
            pair = b64decode(token).decode()
            yield from (pair, *pair.split(":", 1))


def _forms(value: str, written: Iterable[str]) -> Iterator[str]:
    """Yield the value in every form in which it may be quoted; ``written`` are escapes that occur."""
    data = value.encode(errors="surrogatepass")
    for escape in written:
        yield "".join(map(escape.__mod__, data))
    if any(one in value for one in "&<>\"'"):
        html = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
        yield from (html.replace("'", "&#x27;"), html.replace("'", "&#39;"))
        yield html.replace("&quot;", "&#34;").replace("'", "&#39;")
    yield from {
        value,
        unquote(value),
        unquote_plus(value),
        quote(data),
        quote(data, safe=""),
        ascii(value)[1:-1],
    }
    yield from {repr(data)[2:-1], repr(value.encode("latin-1", "replace"))[2:-1], data.hex()}
    if not value.isascii():
        yield "".join(one if one.isascii() else f"\\u{ord(one):04x}" for one in value)
    for offset in range(3):  # where it stands behind something else, as behind "user:"
        yield from (encoded := b64encode(bytes(offset) + data).decode(), encoded.translate(_URL_SAFE))


_ESCAPES: Final = (
    ("\\x", "\\x%02x"),
    ("\\u00", "\\u%04x"),
    ("%", "%%%02x"),
    ("&#", "&#%d;"),
    ("&#x", "&#x%x;"),
    ("&#0", "&#%03d;"),
)
"""How each character may be written of a text that is escaped wholly, and what a text with such has in it."""

_URL_SAFE = str.maketrans("+/", "-_")


def _without(text: str, values: list[str], shown: str) -> str:
    lowered = text.translate(_LOWER)
    wanted = set(_runs(lowered)) - set(_runs(shown.translate(_LOWER)))
    found: set[str] = set()
    written = [form for mark, form in _ESCAPES if mark in lowered]
    for value in values:
        for form in _forms(value, written):
            found.update(wanted.intersection(_runs(form.translate(_LOWER))))
    marks = bytearray(len(text))
    for at, run in enumerate(_runs(lowered)):
        if run in found:
            marks[at : at + RUN] = b"x" * RUN
    for value in values:
        if 2 < len(value) < RUN and not value.isdigit():
            for match in re.finditer(rf"(?<!\w){re.escape(value.translate(_LOWER))}(?!\w)", lowered):
                marks[match.start() : match.end()] = b"x" * len(value)
    return _rendered(text, marks)


def _runs(text: str, length: int = RUN) -> Iterator[str]:
    return (text[at : at + length] for at in range(len(text) - length + 1))


def _rendered(text: str, marks: bytearray) -> str:
    """Return the text with what is marked masked, as far as the word goes that it is part of."""
    pieces: list[str] = []
    start = 0
    for match in re.finditer(rb"x+", marks):
        first, last = match.span()
        first += len(text[first:last]) - len(text[first:last].lstrip())
        last -= len(text[first:last]) - len(text[first:last].rstrip())
        while first > start and text[first - 1] not in _ENDS:
            first -= 1
        while last < len(text) and text[last] not in _ENDS:
            last += 1
        if last > start:
            pieces += [text[start:first], "" if pieces and first <= start else MASK]
            start = last
    return "".join([*pieces, text[start:]])
