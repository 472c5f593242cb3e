"""The billing headers: who is believed, and what the application sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from llmledger.asgi import BillingMiddleware
from llmledger.context import current
from llmledger.instrumentation.safety import faults

ALL = [
    (b"x-billing-plan-type", b"max"),
    (b"X-Billing-Cost-Source", b"credits"),
    (b"x-billing-customer-id", b"customer-7"),
]


async def billed(
    headers: Sequence[tuple[bytes, bytes]] = ALL,
    client: tuple[str, int] | None = ("10.1.2.3", 5000),
    kind: str = "http",
    **options: Any,
) -> Any:
    """Return the billing in force inside the application, None where there is none."""
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["headers"] == list(headers), "the request was changed"
        seen.append(current().get("billing"))

    options.setdefault("trusted", ["10.0.0.0/8", "fd00::/8", "192.0.2.1"])
    middleware = BillingMiddleware(application, **options)
    scope = {"type": kind, "headers": list(headers), "client": client}
    await middleware(scope, _never, _never)  # type: ignore[arg-type]  # nothing is received or sent
    assert current() == {}
    (found,) = seen
    return msgspec.json.decode(found) if found is not None else None


async def _never() -> None:
    raise AssertionError


async def test_a_trusted_proxy_is_believed() -> None:
    expected = {"plan_type": "max", "cost_source": "credits", "customer_id": "customer-7"}
    assert await billed() == expected
    assert await billed(kind="websocket") == expected
    assert await billed(client=("fd12::1", 1)) == expected
    assert await billed(client=("::ffff:10.1.2.3", 1)) == expected
    assert await billed(client=("192.0.2.1", 1)) == expected


@pytest.mark.parametrize(
    "address", ["203.0.113.9", "::1", "192.0.2.2", "::ffff:203.0.113.9", "localhost", ""]
)
async def test_nobody_else_is_believed(address: str) -> None:
    assert await billed(client=(address, 1)) is None


async def test_by_default_nobody_is_believed() -> None:
    assert await billed(trusted=()) is None


async def test_a_peer_without_an_address_is_believed_only_when_asked_for() -> None:
    assert await billed(client=None) is None
    assert await billed(client=None, trust_unix_peers=True) is not None
    assert await billed(client=("", 0), trust_unix_peers=True) is not None


async def test_a_header_that_comes_twice_is_believed_from_nobody() -> None:
    twice = [*ALL, (b"x-billing-customer-id", b"somebody-else")]
    assert await billed(twice) == {"plan_type": "max", "cost_source": "credits"}


@pytest.mark.parametrize("value", [b"", b"  ", b"x" * 129, b"a\x00b", b"\x1b[31m"])
async def test_a_value_that_is_no_name_is_left_out(value: bytes) -> None:
    assert await billed([*ALL[:2], (b"x-billing-customer-id", value)]) == {
        "plan_type": "max",
        "cost_source": "credits",
    }


async def test_a_request_without_the_headers_gets_no_billing() -> None:
    assert await billed([(b"host", b"example")]) is None


async def test_the_lifespan_passes_through() -> None:
    assert await billed(kind="lifespan") is None


def test_a_network_that_is_none_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        BillingMiddleware(_never, trusted=["the-proxy"])  # type: ignore[arg-type]  # never called


async def test_a_scope_that_makes_no_sense_is_served_all_the_same() -> None:
    headers: Any = [("x-billing-plan-type", "max"), (b"x-billing-plan-type", 7), None]
    try:
        assert await billed(headers) is None
    finally:
        faults.clear()
