"""Attribution of a line to its organization, customer and user, even if it is invalid. Pure.

Invariant: a line belongs to a data subject if it names it in any readable form: with escapes, in another
encoding, with a broken byte, nested if it has no such member at the top, or cut off. A line that cannot be
read far enough is UNKNOWN, never somebody else's.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

import msgspec

ORGANIZATION: Final = frozenset({"org_id", "organization_id"})
USER: Final = frozenset({"user_id"})
CUSTOMER: Final = frozenset({"customer_id", "billing_customer_id"})
_ASKED: Final = ORGANIZATION | USER | CUSTOMER
_OWN: Final = frozenset({"begin", "billing"})
"""Members whose members count as the line's own."""

_ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_LETTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SAID: Final = re.compile(
    r"""["']?\b(org_id|organization_id|user_id|customer_id|billing_customer_id)["']?\s*[:=]\s*"""
    r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([\w.@:/+-]+))"""
)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[{}\[\]]', re.DOTALL)
_UNESCAPES: Final = 2
"""Levels of unescaping: a line in a string in a line is read, deeper ones are not."""


class Verdict(Enum):
    """Whether a line belongs to a data subject."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Person(msgspec.Struct, frozen=True):
    """Data subject: an organization, and optionally a customer or user in it."""

    organization_id: str
    customer_id: str | None = None
    user_id: str | None = None


class _Claims(msgspec.Struct):
    """Organizations, customers and users that a line names."""

    organizations: set[str] = msgspec.field(default_factory=set)
    users: set[str] = msgspec.field(default_factory=set)
    customers: set[str] = msgspec.field(default_factory=set)
    whole: bool = False
    """The line was read completely."""
    sure: bool = True
    """The rest of the line cannot change the result."""

    def add(self, name: str, value: str) -> None:
        if name in ORGANIZATION:
            self.organizations.add(value)
        elif name in USER:
            self.users.add(value)
        else:
            self.customers.add(value)


def verdict(person: Person, line: bytes, *, cut: bool = False) -> Verdict:
    """Return whether a line belongs to a data subject; ``cut``: only its beginning was kept."""
    found = [_one(person, _claims(text, cut=cut)) for text in _texts(line)]
    return next(one for one in (Verdict.YES, Verdict.NO, Verdict.UNKNOWN) if one in found)


def _one(person: Person, claims: _Claims) -> Verdict:
    asked = (
        (person.organization_id, claims.organizations),
        (person.user_id, claims.users),
        (person.customer_id, claims.customers),
    )
    parts = {_part(wanted, said, claims) for wanted, said in asked if wanted is not None}
    return next(worst for worst in (Verdict.NO, Verdict.UNKNOWN, Verdict.YES) if worst in parts)


def _part(wanted: str, said: set[str], claims: _Claims) -> Verdict:
    if wanted in said or (claims.whole and not said and not wanted):
        return Verdict.YES
    return Verdict.NO if claims.whole or (said and claims.sure) else Verdict.UNKNOWN


def _texts(line: bytes) -> Iterator[str]:
    """Yield the line in each possible encoding."""
    encoding = json.detect_encoding(line)
    if not encoding.startswith("utf-8"):
        yield line.decode(encoding, "replace")
    try:
        yield line.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield line.decode("utf-8-sig", "replace")
        yield line.decode("latin-1")


def _claims(text: str, *, cut: bool) -> _Claims:
    if not cut:
        with contextlib.suppress(ValueError, RecursionError):
            return _of_json(json.loads(text, strict=False, object_pairs_hook=_Members))
    claims = _of_text(_own_part(text) if text.lstrip().startswith("{") else text)
    if not claims.organizations:
        claims = _of_text(text)
        claims.sure = not cut
    return claims


class _Members(list[tuple[str, Any]]):
    """Members of an object; two may share a name."""


def _of_json(read: Any) -> _Claims:
    claims = _Claims(whole=True)
    own = list(_own_members(read))
    if not any(name in ORGANIZATION and isinstance(value, str) for name, value in own):
        own = list(_every_member(read))
    for name, value in own:
        if name in _ASKED:
            for text in _strings(value):
                claims.add(name, text)
    return claims


def _own_members(read: Any) -> Iterator[tuple[str, Any]]:
    for name, value in read if isinstance(read, _Members) else ():
        yield name, value
        if name in _OWN:
            yield from _own_members(value)


def _every_member(read: Any) -> Iterator[tuple[str, Any]]:
    waiting = [read]
    while waiting:
        value = waiting.pop()
        if isinstance(value, _Members):
            for name, inner in value:
                yield name, inner
                waiting.append(inner)
        elif isinstance(value, list):
            waiting.extend(value)


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, _Members):
            waiting.extend(inner for _, inner in one)
        elif isinstance(one, list):
            waiting.extend(one)
        elif one is not None:
            yield one if isinstance(one, str) else json.dumps(one)


def _own_part(text: str) -> str:
    """Return the part of an object's text at its first level and in its own members."""
    kept: list[str] = []
    depth, start, last = 0, 0, ""
    own: list[bool] = []
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark[0] == '"':
            last = _plain(mark[1:-1])
            continue
        if all(own):
            kept.append(text[start : token.start()])
        start = token.end()
        if mark in "{[":
            own.append(not depth or (mark == "{" and last in _OWN))
            depth += 1
        elif own:
            own.pop()
            depth -= 1
    if all(own):
        kept.append(text[start:])
    return " , ".join(kept)


def _of_text(text: str) -> _Claims:
    claims = _Claims()
    for _ in range(_UNESCAPES + 1):
        for said in _SAID.finditer(text):
            value = next((group for group in said.groups()[1:] if group is not None), "")
            claims.add(said[1], value)
            claims.add(said[1], _plain(value))
        plain = _plain(text)
        if plain == text:
            break
        text = plain
    return claims


def _plain(text: str) -> str:
    """Return the text without JSON's escapes."""
    return _ESCAPE.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else _LETTERS.get(found[2], found[2]), text
    )
