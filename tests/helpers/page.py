"""The real ``llmledger ui`` in a process of its own, and a real Chromium that looks at it.

Invariants: the page answers when the context is entered; the browser asks nobody but the page, and
a page whose script raises fails its test.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.helpers import prefork
from tests.helpers.places import environment
from tests.helpers.prefork import Process
from tests.helpers.waiting import LIMIT_SECONDS

SCREENSHOTS = "LLMLEDGER_SCREENSHOTS"
"""Names the folder that pictures of the page are written to; nothing is written without it."""

COMMAND = "from llmledgerd.cli.app import main; main()"
DESKTOP, PHONE = (1360, 900), (390, 844)


class RunningPage:
    """``llmledger ui`` over one store."""

    def __init__(self, process: Process, link: str) -> None:
        self._process = process
        self.link = link
        self.base, _, self._token = link.partition("/?")

    @property
    def origin(self) -> str:
        """Return the address without the path that the page lies below."""
        return f"http://{self.host}"

    @property
    def host(self) -> str:
        return urlsplit(self.link).netloc

    def link_to(self, path: str) -> str:
        """Return the link that opens the page at another address."""
        path = path or "/"
        return f"{self.base}{path}{'&' if '?' in path else '?'}{self._token}"

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=60)


@contextlib.contextmanager
def running_page(url: str, *arguments: str, refresh: float = 2.0, before: str = "") -> Iterator[RunningPage]:
    """Run the page on a free port for the length of a block; ``before`` is Python that runs first."""
    options = ["ui", "--url", url, "--port", "0", "--refresh", str(refresh), *arguments]
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as output:
        process = _started(options, before, write_end)
        os.close(write_end)
        try:
            said = output.readline()
            assert said.startswith("llmledger: open http://"), said
            yield RunningPage(process, said.split()[-1])
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _started(options: list[str], before: str, out: int) -> Process:
    if not before:
        return prefork.start("llmledger", options, environment=environment(), out=out, err=2)
    command = [sys.executable, "-c", before + COMMAND, *options]
    return subprocess.Popen(command, env=environment(), stdout=out)


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Run Debian's Chromium, or skip."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on the PATH")
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs namespaces, which containers and root seldom have.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        expect.set_options(timeout=1000 * LIMIT_SECONDS)
        yield browser
        browser.close()


@contextlib.contextmanager
def looking(
    browser: Browser,
    page: RunningPage,
    path: str = "",
    *,
    size: tuple[int, int] = DESKTOP,
    dark: bool = False,
) -> Iterator[Page]:
    """Open the link in a browser that knows nothing yet."""
    asked: set[str] = set()
    raised: list[str] = []
    with browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",  # frames that nobody looks at cost more than all else
    ) as context:
        context.set_default_timeout(1000 * LIMIT_SECONDS)
        tab = context.new_page()
        tab.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        tab.on("websocket", lambda socket: asked.add(urlsplit(socket.url).netloc))
        tab.on("pageerror", lambda error: raised.append(str(error)))
        tab.goto(page.link_to(path))
        yield tab
    assert asked - {""} == {page.host}, asked  # data: has no host
    assert not raised, raised


def figure(tab: Page, name: str) -> str:
    """Return a tile's number with all its digits, once it is there."""
    found = tab.locator(f'[data-figure="{name}"]')
    found.wait_for()
    return found.get_attribute("data-exact") or ""


def picture(tab: Page, name: str) -> None:
    """Write a picture of the page where the environment asks for some."""
    folder = os.environ.get(SCREENSHOTS)
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tab.mouse.move(0, 0)
        tab.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def too_wide(tab: Page) -> Any:
    """Return whether the page has to be scrolled sideways."""
    return tab.evaluate("document.documentElement.scrollWidth > window.innerWidth")
