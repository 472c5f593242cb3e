"""An ASGI middleware: the ``x-billing-*`` headers of a request become the billing of its calls.

Invariants:
- A header is believed only from a peer whose address lies in the networks that were named. Whoever
  else sends one is served as if it were not there: an end user must not be able to bill another.
- A header that comes twice is believed from nobody: a proxy that adds its own without removing the
  user's would otherwise speak with the user's voice.
- The request reaches the application unchanged.

The address is the one in the ASGI scope. A server that replaces it by ``X-Forwarded-For`` (uvicorn's
``--proxy-headers``, on by default for 127.0.0.1) shows the end user's address here, and one that
believes this header from everybody shows whatever the end user likes: switch it off
(``--no-proxy-headers``), or let it trust the proxies alone and put this middleware outside it.
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
    """Run each request within ``context(billing=…)`` of what a trusted proxy says about it.

    >>> app = BillingMiddleware(app, trusted=["10.0.0.0/8", "fd00::/8"])

    ``trusted`` are networks or single addresses, none by default. ``trust_unix_peers`` also believes
    whoever connects through a Unix socket, which has no address. Raises ValueError for a network that
    is none.
    """

    def __init__(
        self, app: Application, *, trusted: Iterable[str] = (), trust_unix_peers: bool = False
    ) -> None:
        self._app = app
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(map(ip_network, trusted))
        self._trust_unix_peers = trust_unix_peers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
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
