"""Frame of every page, which is drawn at once, and the refresh of its content.

Invariants:
- A page that is closed, hidden or paused runs no queries.
- Queries take at most a tenth of the time, however slow the store is.
- When a query fails, the previous content stays, below one line with the error.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
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
from llmledgerd.ui.markup import render
from llmledgerd.ui.queries import PageQueries
from llmledgerd.ui.spans import SPANS
from llmledgerd.ui.view import View

AT_MOST: Final = 0.1
"""Maximum fraction of the time spent on queries."""

ASSETS: Final = f"/assets/{__version__}"

HEAD: Final = (
    f'<link rel="stylesheet" href=".{ASSETS}/page.css"><script src=".{ASSETS}/page.js"></script>'
    '<meta name="color-scheme" content="light dark">'
)

FIELDS: Final = ("model", "provider", "agent", "call_type")
"""Text filters of the list that suggest values."""

PLAIN_FIELDS: Final = ("organization", "user", "run", "tag")
"""Text filters of the list with too many values to suggest."""

LISTS: Final = ("/calls", "/runs")
"""Pages whose filters are a form."""

OUTCOMES: Final = (
    ("", "any"), (views.FAILED, "not ok"), ("ok", "ok"), ("error", "error"), ("cancelled", "cancelled"),
    ("abandoned", "abandoned"),
)  # fmt: skip


AskStatus = Callable[[], Awaitable[Status]]


class Site(msgspec.Struct, frozen=True):
    """Context shared by all pages."""

    queries: PageQueries
    ask_status: AskStatus
    refresh_seconds: float
    """Interval between two refreshes of a visible page."""


class Frame:
    """Frame of a page, drawn before the first query."""

    def __init__(
        self, active: str, view: View, only: str | None, *, controls: bool = True, live: bool = False
    ) -> None:
        """``active`` is the page's path; ``only`` is the only visible organization.

        ``live`` is for a page without controls; one with them is live if its range has no end.
        """
        self._view, self._only = view, only
        ui.add_head_html(HEAD)
        ui.add_body_html(
            render(
                "frame.html",
                active=active,
                view=view,
                only=only,
                home=views.widen(views.widen(view, "run"), "min_size") if controls else View(),
                live=live or (controls and view.is_live),
                controls=controls,
                pages=self._pages(),
                spans=SPANS,
                splits=[name for name in views.COLUMNS if only is None or name != "organization"],
                titles=views.TITLES,
                outcomes=OUTCOMES,
                lists=LISTS,
                chips=self._chips(active),
                narrows=view.narrows,
                cleared=views.write(active, views.change(view, narrowed={}, min_size=None)),
                fields=(*FIELDS, *self._plain_fields()),
                suggesting=FIELDS,
                address=views.write,
                change=views.change,
                widen=views.widen,
                kept=self._kept,
                **self._range(),
            )
        )

    def _plain_fields(self) -> tuple[str, ...]:
        """Return PLAIN_FIELDS, without the organization where the page shows a single one."""
        return PLAIN_FIELDS if self._only is None else PLAIN_FIELDS[1:]

    def _pages(self) -> list[tuple[str, str]]:
        own = [
            ("/", "Overview"),
            ("/runs", "Runs"),
            ("/calls", "Calls"),
            ("/tools", "Tools"),
            ("/cache", "Cache"),
        ]
        return own if self._only is not None else [*own, ("/health", "Health")]

    def _range(self) -> dict[str, str]:
        start, end = self._view.start, self._view.end
        return {
            "from_text": _form_time(start),
            "to_text": _form_time(end),
            "range_text": f"{_form_time(start).replace('T', ' ')} – {_form_time(end).replace('T', ' ') or 'now'}",  # noqa: RUF001 - a range has a dash
        }

    def _chips(self, active: str) -> list[tuple[str, str, str]]:
        """Return the removable filters, except those with their own field."""
        fields = (*FIELDS, *self._plain_fields(), "outcome") if active in LISTS else ()
        return [
            (name, views.TITLES[name], value)
            for name, value in self._view.narrowed.items()
            if not value or name not in fields
        ]

    def _kept(self, without: Collection[str]) -> list[tuple[str, str]]:
        """Return the URL parameters that a form must repeat, since it sends only its own fields."""
        pairs = parse_qsl(urlsplit(views.write("", self._view)).query)
        return [pair for pair in pairs if pair[0] not in without]


def content() -> Element:
    """Return the content element of the page, inside NiceGUI's ``main``."""
    return ui.element("div").props("id=main tabindex=-1")


class Slot:
    """Part of the page with changing HTML. The browser's sanitizer runs after our escaping."""

    def __init__(self, content: str = "") -> None:
        self._html = ui.html(content, sanitize=True)

    def show(self, template: str, **values: Any) -> None:
        """Show a template; send nothing if it is unchanged."""
        self._html.set_content(render(template, **values))

    def show_nothing(
        self, path: str, view: View, what: str, text: str = "", spans: Sequence[str] = ("1y",)
    ) -> None:
        """Show that the page at ``path`` found none of ``what`` in the view's range, and links to wider ones."""
        links = [
            (
                views.write(path, views.change(view, span=span, start=None, end=None)),
                f"Show {SPANS[span].title}",
            )
            for span in spans
        ]
        text = text or f"No {'matching ' if view.narrows else ''}{what} in this range."
        self.show("nothing.html", title=f"No {what}", text=text, links=links)

    def clear(self) -> None:
        """Show nothing."""
        self._html.set_content("")


class PageQuery:
    """Query loop of a page: once after the browser connects, then repeatedly if the page is live."""

    def __init__(
        self, ask: Callable[[datetime], Awaitable[None]], refresh_seconds: float, *, live: bool
    ) -> None:
        """``refresh_seconds`` is the interval while it is ``live``."""
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
            self._trouble.show(
                "trouble.html",
                said=f"{error}.{' The page tries again by itself.' if self._live else ' Reload the page to try again.'}",
            )
        else:
            self._trouble.clear()
        self._timer.interval = pause(time.monotonic() - began, self._seconds)

    def _switch(self, event: GenericEventArguments) -> None:
        self._timer.active = bool(event.args)


def pause(took: float, usual: float) -> float:
    """Return the seconds from the start of one query to that of the next. Pure."""
    return max(usual, took / AT_MOST)


def _form_time(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%dT%H:%M")
