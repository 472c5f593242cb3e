"""Authentication of the page's server: the outermost ASGI layer, for HTTP and WebSocket.

Invariants:
- The application receives no request without the token, for any path: pages, assets, downloads, the
  WebSocket.
- The token comes once in a URL, and then in an HttpOnly, SameSite=Strict cookie. Browsers send a host's
  cookies to all of its ports, so the cookie is limited to a secret path: servers on other ports never
  receive it.
- Tokens are compared in constant time, and no response contains the token.
- The content security policy of every response blocks requests to other hosts.
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PARAMETER: Final = "token"

HEADERS: Final = {
    # Vue compiles its templates in the browser, which requires 'unsafe-eval'.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

NEEDS_LINK: Final = "Open the link printed by `llmledger ui`; it contains the token.\n"

AGAIN: Final = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0"><title>llmledger</title>'
)
"""A page that reloads itself."""


class Authentication:
    """ASGI middleware that passes only requests with the token to ``app``."""

    def __init__(self, app: ASGIApp, token: str, port: int, key: str) -> None:
        """``key`` is the secret first part of every path."""
        self.app = app
        self._token = token.encode()
        self._root = f"/{key}"
        self._cookie = f"llmledger-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self.app({**scope, "root_path": self._root}, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: a 403
        else:
            await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the refusal of a request, or None if it is allowed."""
        headers = Headers(scope=scope)
        if not _is_own(headers):
            return PlainTextResponse("Cross-site requests are not allowed.\n", 403)
        if not self._is_within(scope["path"]):
            return PlainTextResponse(NEEDS_LINK, 401)
        given, rest = _token_of(scope)
        if given is not None and self._is_token(given):
            return self._welcome(scope["path"], rest)
        if given is None and self._is_token(self._cookie_of(headers)):
            return None
        if _comes_from_elsewhere(headers):
            return HTMLResponse(AGAIN)
        return PlainTextResponse(NEEDS_LINK, 401)

    def _is_within(self, path: str) -> bool:
        root = "/" + path.lstrip("/").partition("/")[0]
        return hmac.compare_digest(root.encode(errors="replace"), self._root.encode()) and path != root

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token)

    def _welcome(self, path: str, query: str) -> Response:
        """Move the token from the address into a cookie."""
        local = "/" + path.lstrip("/")  # two slashes would name a host
        answer = RedirectResponse(f"{local}?{query}" if query else local, 303)
        answer.set_cookie(
            self._cookie, self._token.decode(), path=f"{self._root}/", httponly=True, samesite="strict"
        )
        return answer

    def _cookie_of(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found else ""


def _token_of(scope: Scope) -> tuple[str | None, str]:
    """Return the token of the URL, and the other parameters."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    given = next((value for name, value in pairs if name == PARAMETER), None)
    return given, urlencode([pair for pair in pairs if pair[0] != PARAMETER])


def _is_own(headers: Headers) -> bool:
    """Return whether the request is same-origin: for cookies a server on another port is the same site."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _comes_from_elsewhere(headers: Headers) -> bool:
    """Return whether a link on another site was followed, with which a strict cookie is not sent.

    The response is then an empty page that reloads itself, with the cookie.
    """
    return headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") == "navigate"


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
