"""What every page stands in: the frame that is there at once, and what is asked again while it is open.

Invariants:
- Nothing is asked for a page that nobody looks at: closed, in a hidden tab, or paused.
- Asking takes at most a tenth of the time, however slow the store is.
- What was shown stays when a question fails, below one line that says so.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from llmledgerd import __version__
from llmledgerd.errors import LlmledgerdError
from llmledgerd.telemetry.status import Status
from llmledgerd.ui import view as views
from llmledgerd.ui.asking import Asking
from llmledgerd.ui.markup import render
from llmledgerd.ui.spans import SPANS
from llmledgerd.ui.view import View

AT_MOST: Final = 0.1
"""The part of the time that asking may take."""

ASSETS: Final = f"/assets/{__version__}"

HEAD: Final = (
    f'<link rel="stylesheet" href=".{ASSETS}/page.css"><script src=".{ASSETS}/page.js"></script>'
    '<meta name="color-scheme" content="light dark">'
)

FIELDS: Final = ("model", "provider", "agent", "call_type")
"""What the list's filters are typed for; each suggests values."""

OUTCOMES: Final = (
    ("", "any"), (views.FAILED, "not ok"), ("ok", "ok"), ("error", "error"), ("cancelled", "cancelled"),
    ("abandoned", "abandoned"),
)  # fmt: skip


AskStatus = Callable[[], Awaitable[Status]]


class Site(msgspec.Struct, frozen=True):
    """What all pages have in common."""

    asking: Asking
    ask_status: AskStatus
    refresh_seconds: float
    """Between two questions of a page that is looked at."""


class Frame:
    """A page's frame, drawn before anything is asked."""

    def __init__(self, active: str, view: View, only: str | None, *, controls: bool = True) -> None:
        """``active`` is the page's path; ``only`` the one organization that may be seen."""
        self._view, self._only = view, only
        ui.add_head_html(HEAD)
        ui.add_body_html(
            render(
                "frame.html",
                active=active,
                view=view,
                only=only,
                home=views.change(view, run=None, min_size=None) if controls else View(),
                live=(controls and view.is_live) or active == "/health",
                controls=controls,
                pages=self._pages(),
                spans=SPANS,
                splits=[name for name in views.COLUMNS if only is None or name != "organization"],
                titles=views.TITLES,
                outcomes=OUTCOMES,
                chips=self._chips(active),
                narrows=view.narrows,
                cleared=views.write(active, views.change(view, narrowed={}, run=None, min_size=None)),
                fields=FIELDS,
                address=views.write,
                change=views.change,
                widen=views.widen,
                kept=self._kept,
                **self._range(),
            )
        )

    def _pages(self) -> list[tuple[str, str]]:
        own = [("/", "Overview"), ("/calls", "Calls")]
        return own if self._only is not None else [*own, ("/health", "Health")]

    def _range(self) -> dict[str, str]:
        start, end = self._view.start, self._view.end
        return {
            "from_text": _form_time(start),
            "to_text": _form_time(end),
            "range_text": f"{_form_time(start).replace('T', ' ')} – {_form_time(end).replace('T', ' ') or 'now'}",  # noqa: RUF001 - a range has a dash
        }

    def _chips(self, active: str) -> list[tuple[str, str, str]]:
        """Return the conditions that can be removed one by one, but for those that a field shows."""
        fields = (*FIELDS, "outcome") if active == "/calls" else ()
        found = [
            (name, views.TITLES[name], value)
            for name, value in self._view.narrowed.items()
            if not value or name not in fields
        ]
        if self._view.run is not None:
            found.append(("run", "Run", self._view.run))
        return found

    def _kept(self, without: list[str]) -> list[tuple[str, str]]:
        """Return what a form has to repeat of the address, since it sends its own fields alone."""
        pairs = parse_qsl(urlsplit(views.write("", self._view)).query)
        return [pair for pair in pairs if pair[0] not in without]


def content() -> Element:
    """Return the element that the page goes into, inside NiceGUI's ``main``."""
    return ui.element("div").props("id=main tabindex=-1")


class Slot:
    """A place of the page whose HTML changes. The browser's sanitizer comes after our escaping."""

    def __init__(self, content: str = "") -> None:
        self._html = ui.html(content, sanitize=True)

    def show(self, template: str, **values: Any) -> None:
        """Show a template; nothing is sent where nothing has changed."""
        self._html.set_content(render(template, **values))

    def clear(self) -> None:
        """Show nothing."""
        self._html.set_content("")


class Asked:
    """Asks when the browser is there, and again and again where the page is live."""

    def __init__(
        self, ask: Callable[[datetime], Awaitable[None]], refresh_seconds: float, *, live: bool
    ) -> None:
        """``refresh_seconds`` says how often, while it is ``live``."""
        self._ask, self._seconds = ask, refresh_seconds
        self._live = live
        self._trouble = Slot()
        self._timer = ui.timer(refresh_seconds if live else 0.0, self._once, once=not live)
        ui.on("live", self._switch)

    async def _once(self) -> None:
        began = time.monotonic()
        try:
            await self._ask(datetime.now(UTC))
        except (LlmledgerdError, ValueError) as error:
            self._trouble.show("trouble.html", said=f"{error}.{' Asking again.' if self._live else ''}")
        else:
            self._trouble.clear()
        self._timer.interval = pause(time.monotonic() - began, self._seconds)

    def _switch(self, event: GenericEventArguments) -> None:
        self._timer.active = bool(event.args)


def pause(took: float, usual: float) -> float:
    """Return the seconds from one question's beginning to the next one's. Pure."""
    return max(usual, took / AT_MOST)


def _form_time(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%dT%H:%M")
