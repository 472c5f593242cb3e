"""Nobody without the token, by whatever path and protocol."""

from __future__ import annotations

from typing import Any

import pytest

from llmledgerd.ui.authentication import Authentication

TOKEN = "the-token"
OWN = "127.0.0.1:9465"
KEY = "the-key"
COOKIE = f"llmledger-9465={TOKEN}"


class Page:
    """What lies behind the gate."""

    def __init__(self) -> None:
        self.seen = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen += 1
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"secret"})
        else:
            await send({"type": "websocket.accept"})


async def knock(
    path: str = "/", query: str = "", kind: str = "http", root: str = f"/{KEY}", **headers: str
) -> tuple[int, dict[str, str], bytes, int]:
    """Return status, headers, body and how often the page was reached; a websocket's refusal is a 403."""
    page, sent = Page(), []
    given = {"host": OWN, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": kind,
        "path": f"{root}{path}",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await Authentication(page, TOKEN, 9465, KEY)(scope, receive, send)
    first = sent[0]
    if kind == "websocket":
        return (101 if first["type"] == "websocket.accept" else 403), {}, b"", page.seen
    answered = {name.decode().lower(): value.decode() for name, value in first["headers"]}
    return first["status"], answered, b"".join(part.get("body", b"") for part in sent[1:]), page.seen


@pytest.mark.parametrize(
    "path", ["/", "/calls", "/assets/0/page.css", "/_nicegui_ws/socket.io/", "/payload/request", "//"]
)
@pytest.mark.parametrize(
    "cookie", ["", "llmledger-9465=", "llmledger-9465=wrong", f"llmledger-1={TOKEN}", "\xff=;;"]
)
async def test_nothing_is_reached_without_the_token(path: str, cookie: str) -> None:
    for kind, refused in (("http", 401), ("websocket", 403)):
        status, _, body, seen = await knock(path, kind=kind, cookie=cookie)
        assert (status, seen) == (refused, 0)
        assert b"secret" not in body


async def test_with_the_cookie_all_is_reached() -> None:
    assert (await knock(cookie=COOKIE))[2:] == (b"secret", 1)
    assert (await knock(kind="websocket", cookie=f"a=b; {COOKIE}", origin=f"http://{OWN}"))[0] == 101


async def test_the_link_gives_a_cookie_and_an_address_without_the_token() -> None:
    status, headers, _, seen = await knock("/calls", f"model=a%26b&token={TOKEN}&without=agent")

    assert (status, headers["location"], seen) == (303, f"/{KEY}/calls?model=a%26b&without=agent", 0)
    said = headers["set-cookie"].lower()
    assert COOKIE in headers["set-cookie"]
    assert all(word in said for word in ("httponly", "samesite=strict", f"path=/{KEY}/"))


async def test_a_link_leads_to_no_other_host() -> None:
    for path in ("//evil.example", "/"):
        location = (await knock(path, f"token={TOKEN}"))[1]["location"]
        assert location.startswith(f"/{KEY}/")


@pytest.mark.parametrize(
    "root", ["", "/", "//", "/wrong", f"/{KEY}x", f"/{KEY[:-1]}", f"//{KEY.upper()}", "/\udcff"]
)
async def test_token_and_cookie_are_worth_nothing_without_the_path(root: str) -> None:
    for query, cookie in ((f"token={TOKEN}", ""), ("", COOKIE)):
        assert (await knock("/calls", query, root=root, cookie=cookie))[::3] == (401, 0)
    assert (await knock(kind="websocket", root=root, cookie=COOKIE, origin=f"http://{OWN}"))[0] == 403


@pytest.mark.parametrize(
    "query", ["token=", "token=wrong", f"token={TOKEN}x", f"token={TOKEN}%00", f"Token={TOKEN}"]
)
async def test_a_wrong_link_is_refused_even_with_what_looks_like_it(query: str) -> None:
    status, headers, _, seen = await knock(query=query)

    assert (status, seen, "set-cookie" in headers) == (401, 0, False)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "https://evil.example", "null"])
async def test_another_page_s_requests_are_refused_even_with_the_cookie(kind: str, origin: str) -> None:
    status, _, _, seen = await knock(kind=kind, cookie=COOKIE, origin=origin)

    assert (status, seen) == (403, 0)


async def test_a_link_followed_from_elsewhere_is_asked_for_again_by_the_page_itself() -> None:
    """Since a strict cookie is not sent with it."""
    there = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    status, _, body, seen = await knock("/calls", **there)

    assert (status, seen) == (200, 0)
    assert b"refresh" in body
    assert (await knock("/calls", sec_fetch_site="same-origin", sec_fetch_mode="navigate"))[0] == 401


async def test_whatever_is_served_loads_nothing_from_elsewhere() -> None:
    for headers in ((await knock(cookie=COOKIE))[1], (await knock())[1]):
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
