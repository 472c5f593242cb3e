"""State of a page as its URL. Pure.

Invariants:
- ``read(write(view))`` equals the view: the URL holds the whole state.
- Invalid parameters fall back to defaults, because people type URLs and mailers truncate them; the page
  names each of them (``ignored``).
- If the command was given one organization, the scope never comes from the URL.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, cast
from urllib.parse import urlencode

import msgspec

from llmledgerd.query.filters import GROUPED, OF_SUMS, ORGANIZATION, Narrowing
from llmledgerd.ui import spans
from llmledgerd.ui.spans import Range

FIRST: Final = ("model", "agent", ORGANIZATION, "provider")
COLUMNS: Final = {
    name: GROUPED.get(name, "") for name in (*FIRST, *(name for name in GROUPED if name not in FIRST))
}
"""Dimensions to split and filter by, most common first, and their columns. The organization is the scope."""

FILTERS: Final = {**COLUMNS, **{one.name: column for column, one in OF_SUMS.items() if not one.is_group}}
"""The same, and what can be filtered by only."""

TITLES: Final = {name: name.replace("_", " ").capitalize() for name in FILTERS}

FAILED: Final = "failed"
"""A value of URLs only: all outcomes except ok."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Time range, split and filters."""

    span: str = spans.USUAL
    start: datetime | None = None
    """If set, the range is fixed and ``span`` is ignored."""
    end: datetime | None = None
    split: str = "model"
    narrowed: dict[str, str] = {}
    """Values by name of FILTERS; an empty value selects calls without one."""
    min_size: int | None = None
    cursor: str | None = None
    ignored: tuple[str, ...] = ()
    """Parameters of the URL that mean nothing here, each with the reason; not part of the state."""

    def range(self, now: datetime) -> Range:
        """Return the time range at ``now``."""
        if self.start is None:
            return spans.ending_now(self.span, now)
        return spans.between(self.start, self.end, now)

    @property
    def narrows(self) -> bool:
        """Whether any filter is set."""
        return bool(self.narrowed) or self.min_size is not None

    @property
    def is_live(self) -> bool:
        """Whether new calls can match it."""
        return self.end is None

    def sums(self) -> Narrowing:
        """Return the filters of aggregates and lists."""
        chosen = {FILTERS[name]: value for name, value in self.narrowed.items() if FILTERS[name]}
        if chosen.get("outcome") == FAILED:
            del chosen["outcome"]
        return cast("Narrowing", chosen)

    @property
    def is_error(self) -> bool | None:
        """Return the ``is_error`` filter of lists."""
        return True if self.narrowed.get("outcome") == FAILED else None


_CHOICES: Final[Mapping[str, Collection[str]]] = {
    "span": spans.SPANS,
    "split": COLUMNS,
    "outcome": ("ok", "error", "cancelled", "abandoned", FAILED),
}
PARAMETERS: Final = frozenset({*FILTERS, *_CHOICES, "from", "to", "without", "min_size", "cursor"})
"""The parameters of the overview and the list."""


def read(given: Iterable[tuple[str, str]]) -> View:
    """Parse the parameters of a URL. Empty ones count as absent, because forms send them."""
    said = {name: value for name, value in given if value}
    narrowed = {name: said[name] for name in FILTERS if said.get(name) in _CHOICES.get(name, said.values())}
    narrowed |= {name: "" for name in said.get("without", "").split(",") if name in FILTERS}
    start = spans.moment(said.get("from", ""))
    end = spans.moment(said.get("to", ""))
    if start is not None and end is not None and end <= start:
        end = None
    return View(
        span=_one_of(spans.SPANS, said.get("span"), spans.USUAL),
        start=start,
        end=end if start else None,
        split=_one_of(COLUMNS, said.get("split"), "model"),
        narrowed=narrowed,
        min_size=_whole_number(said.get("min_size", "")),
        cursor=said.get("cursor"),
        ignored=tuple(_ignored(said)),
    )


def _ignored(said: Mapping[str, str]) -> Iterator[str]:
    """Yield each parameter that has no meaning, with the reason."""
    for name, value in said.items():
        if name not in PARAMETERS:
            yield f"{name} (unknown)"
        elif name in _CHOICES and value not in _CHOICES[name]:
            yield f"{name}={value} (use one of {', '.join(_CHOICES[name])})"
        elif name == "without" and (unknown := [one for one in value.split(",") if one not in FILTERS]):
            yield f"without={','.join(unknown)} (use any of {', '.join(FILTERS)})"
        elif name in ("from", "to") and spans.moment(value) is None:
            yield f"{name}={value} (use an ISO 8601 time, such as 2026-11-21T08:00)"
        elif name == "min_size" and _whole_number(value) is None:
            yield f"min_size={value} (use a whole number of bytes)"
    if spans.moment(said.get("to", "")) and not spans.moment(said.get("from", "")):
        yield "to (use it with from)"


def write(path: str, view: View) -> str:
    """Return the URL of a view on a page, without default values."""
    usual = View()
    said = {
        "span": view.span if view.span != usual.span and view.start is None else "",
        "from": _short(view.start),
        "to": _short(view.end),
        "split": view.split if view.split != usual.split else "",
        **view.narrowed,
        "without": ",".join(name for name, value in view.narrowed.items() if not value),
        "min_size": "" if view.min_size is None else str(view.min_size),
        "cursor": view.cursor or "",
    }
    query = urlencode({name: value for name, value in said.items() if value})
    return f"{path}?{query}" if query else path


def change(view: View, **fields: object) -> View:
    """Return the view with changed fields, at its first page."""
    return msgspec.structs.replace(view, **{"cursor": None, "ignored": (), **fields})


def narrow(view: View, name: str, value: str) -> View:
    """Return the view filtered to one value, split by another dimension."""
    narrowed = {**view.narrowed, name: value}
    split = next((other for other in COLUMNS if other not in narrowed), view.split)
    return change(view, narrowed=narrowed, split=split if view.split in narrowed else view.split)


def widen(view: View, name: str) -> View:
    """Return the view without one of its filters."""
    if name == "min_size":
        return change(view, min_size=None)
    return change(view, narrowed={other: value for other, value in view.narrowed.items() if other != name})


def of_sums(view: View) -> View:
    """Return the view without the filter that only lists have: sums count failures separately."""
    return widen(view, "outcome") if view.narrowed.get("outcome") == FAILED else view


def _one_of(known: Mapping[str, object], text: str | None, usual: str) -> str:
    return text if text is not None and text in known else usual


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _short(moment: datetime | None) -> str:
    """Return a time in the format of forms, without the zone (UTC)."""
    if moment is None:
        return ""
    text = moment.replace(tzinfo=None).isoformat()
    return text.removesuffix(":00") if len(text) > len("2025-01-01T00:00") else text
