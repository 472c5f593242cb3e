"""An invoice worked by hand from a published price page, and the record that it is for.

The working is tokens times price, part by part; nothing here is computed by the code under test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

MILLION, THOUSAND, HOUR, ONE = 1_000_000, 1000, 3600, 1
TUESDAY_NOON = "2026-11-17T12:00:00Z"
"""A working day outside DeepSeek's peak hours, after all tiers and batches of the list have begun."""


class Page(msgspec.Struct, frozen=True):
    """A provider's published price page."""

    title: str
    url: str


class Line(msgspec.Struct, frozen=True):
    """One line of an invoice: ``count`` at ``price`` dollars per ``per``."""

    part: str
    count: Decimal
    price: Decimal
    per: int

    @property
    def dollars(self) -> Decimal:
        return self.count * self.price / self.per


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """What one call costs by the price page, or why that cannot be said."""

    name: str
    page: Page
    record: dict[str, Any]
    lines: tuple[Line, ...] = ()
    reason: str = ""
    """The expected ``cost_reason``; empty where ``lines`` are the price."""
    source: str = "list_price"
    row: Mapping[str, object] = {}
    """Further columns that the row must have."""
    note: str = ""
    """Where the page and the list of prices differ, and why the expectation is what it is."""

    @property
    def dollars(self) -> Decimal:
        return sum((line.dollars for line in self.lines), Decimal(0))


def tokens(part: str, count: int, price: str) -> Line:
    """Tokens at a price per million."""
    return Line(part, Decimal(count), Decimal(price), MILLION)


def calls(part: str, count: int, price: str) -> Line:
    """Calls, searches or pages at a price per thousand."""
    return Line(part, Decimal(count), Decimal(price), THOUSAND)


def seconds(part: str, count: str, price: str) -> Line:
    """Seconds at a price per hour."""
    return Line(part, Decimal(count), Decimal(price), HOUR)


def record(
    provider: str, url: str, request: object = None, response: object = None, **more: object
) -> dict[str, Any]:
    """Return a record on the wire; ``more`` are further fields, or others than the usual ones."""
    usual = {
        "protocol_version": 4,
        "provider": provider,
        "url": url,
        "request": request,
        "response": response,
        "status_code": 200,
        "timestamp": TUESDAY_NOON,
        "org_id": "acme",
    }
    return {name: value for name, value in (usual | more).items() if value not in (None, "")}


def sse(*events: object, done: bool = True) -> str:
    """Return events as OpenAI and Gemini write them."""
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join(lines) + ("data: [DONE]\n\n" if done else "")


def named_sse(*events: tuple[str, dict[str, Any]]) -> str:
    """Return events with a name each, as Anthropic, OpenAI's Responses and Bedrock's rendering have them."""
    return "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
