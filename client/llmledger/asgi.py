"""ASGI middleware: the ``x-billing-*`` headers of a request become the billing of its calls.

Invariants:
- A header is trusted only from a peer in the configured networks. Headers of other peers are ignored:
  an end user must not be able to bill another.
- A duplicate header is never trusted: the proxy may have added its own without removing the user's.
- The request reaches the application unchanged.

The address is the one in the ASGI scope. A server that replaces it by ``X-Forwarded-For`` (uvicorn's
``--proxy-headers``, on by default for 127.0.0.1) puts the end user's address there, and one that
trusts this header from every peer puts any value of the end user there: switch it off
(``--no-proxy-headers``), or let it trust only the proxies and put this middleware outside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from llmledger.context import BillingContext, context
from llmledger.instrumentation.safety import harmless
from llmledger.protocol import MAX_ID_CHARACTERS

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS: Final = {
    b"x-billing-plan-type": "plan_type",
    b"x-billing-cost-source": "cost_source",
    b"x-billing-customer-id": "customer_id",
}


class BillingMiddleware:
    """ASGI middleware that runs each request within ``context(billing=…)`` from a trusted proxy's headers.

    >>> app = BillingMiddleware(app, trusted=["10.0.0.0/8", "fd00::/8"])

    ``trusted`` has networks or single addresses (default: none). ``trust_unix_peers`` also trusts every
    peer on a Unix socket, which has no address. Raises ValueError for an invalid network.
    """

    def __init__(
        self, app: Application, *, trusted: Iterable[str] = (), trust_unix_peers: bool = False
    ) -> None:
        self._app = app
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(map(ip_network, trusted))
        self._trust_unix_peers = trust_unix_peers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; exceptions of the application pass through."""
        billing = self._billing(scope) if scope["type"] in ("http", "websocket") else None
        if billing is None:
            await self._app(scope, receive, send)
            return
        with context(billing=billing):
            await self._app(scope, receive, send)

    @harmless
    def _billing(self, scope: Scope) -> BillingContext | None:
        found: dict[str, list[str]] = {}
        for name, value in scope.get("headers", ()):
            field = HEADERS.get(name.lower())
            if field is not None:
                found.setdefault(field, []).append(value.decode("latin-1").strip())
        said = {
            field: values[0] for field, values in found.items() if len(values) == 1 and _is_sane(values[0])
        }
        return BillingContext(**said) if said and self._is_trusted(scope.get("client")) else None

    def _is_trusted(self, client: tuple[str, int | None] | None) -> bool:
        if client is None or not client[0]:
            return self._trust_unix_peers
        try:
            address = ip_address(client[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _is_sane(value: str) -> bool:
    return 0 < len(value) <= MAX_ID_CHARACTERS and value.isprintable()
