"""``llmledger ui`` from outside, without a browser: who is let in, and how it starts and ends."""

from __future__ import annotations

import subprocess
import sys

import aiohttp
import pytest
from nicegui import __version__ as nicegui_version

from llmledgerd.ui.shell import ASSETS
from tests.helpers.page import COMMAND, running_page
from tests.helpers.places import environment


async def test_nothing_is_served_without_the_token(server_url: str) -> None:
    paths = ("/", "/calls", "/runs", "/run?id=x", "/run/steps?id=x", "/health", "/call?id=x", "/payload/request?id=x", f"{ASSETS}/page.css", "/favicon.ico",
             "/_nicegui_ws/socket.io/?EIO=4&transport=polling", f"/_nicegui/{nicegui_version}/static/nicegui.js",
             "/openapi.json")  # fmt: skip
    with running_page(server_url) as page:
        root = page.base.removeprefix(page.origin)
        async with aiohttp.ClientSession(page.origin) as session:
            for path in (*paths, *(f"{root}{path}" for path in paths)):
                for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
                    async with session.request(method, path) as answer:
                        assert answer.status == 401, (method, path)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{root}/_nicegui_ws/socket.io/?EIO=4&transport=websocket")
            assert refused.value.status == 403


def test_ctrl_c_ends_it_and_leaves_nothing_behind(server_url: str) -> None:
    with running_page(server_url) as page:
        assert page.interrupt() in (0, 130)


def test_a_taken_port_is_said_in_one_line(server_url: str) -> None:
    with running_page(server_url) as page:
        command = [
            sys.executable,
            "-c",
            COMMAND,
            "ui",
            "--url",
            server_url,
            "--port",
            page.host.rpartition(":")[2],
        ]
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=60, check=False
        )

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--port" in done.stderr
