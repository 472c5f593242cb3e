"""Parsing of a stream's text into events.

Invariant: every complete event is returned, in order, with its name and data as sent; line ends, comments
and a missing last blank line make no difference. A truncated event is returned as its remaining text, which is
not a JSON object.

Streams are long and their events short, so the usual ones (one line of data, or one of name and one
of data, between blank lines) are cut and decoded all at once; any other is read line by line, and
both ways come to the same events.

Source: WHATWG HTML standard, "Server-sent events: interpreting an event stream".
"""

from __future__ import annotations

from typing import Any

from llmledgerd.json_text import cut_items
from llmledgerd.usage import budget
from llmledgerd.usage.decode import as_bytes, is_json, value

DONE = "[DONE]"
"""OpenAI's last event, which is not JSON."""

DATA, NAME = "data: ", "event: "
BETWEEN = f"\n\n{DATA}"
"""What stands between two events without names, as most servers write them."""
BLANK = {"", "\r"}


class Events:
    """Events of a stream: data and, at the same position, name."""

    def __init__(self, data: list[str], names: list[str] | None = None, *, is_done: bool = False) -> None:
        self.data = data
        self._names = names
        self.has_names = names is not None
        self.is_done = is_done

    def name(self, position: int) -> str:
        """Return an event's name, or ""."""
        return self._names[position].removeprefix(NAME).rstrip("\r") if self._names else ""

    def distinct_names(self) -> set[str]:
        """Return the names that occur."""
        return {name.removeprefix(NAME).rstrip("\r") for name in set(self._names or ())} - {""}

    def value(self, position: int) -> Any:
        """Return an event's value; its text if it is not JSON."""
        found = value(self.data[position])
        return self.data[position] if found is None else found

    def values(self) -> list[Any]:
        """Return the values of all events."""
        return [self.value(position) for position in range(len(self.data))]


def events(stream: str) -> Events:
    """Return the events of SSE text; of NDJSON and of a JSON array the objects. Raises TooMuch."""
    if len(stream) > budget.UNCOUNTED_BYTES:
        _check(stream)
    text = stream.strip("\ufeff \t\r\n")
    if "\n" not in text:
        text = text.replace("\r", "\n")  # the standard allows it, but no sender is known
    if text[:1] == "[":
        return Events([part.decode("utf-8", "replace") for part in cut_items(as_bytes(text))])
    if text[:1] == "{":
        return Events(_objects(text))
    body = text.removesuffix(DATA + DONE)
    is_done, body = body is not text, body.rstrip("\r\n")
    return _unnamed(body, is_done) or _regular(body.split("\n"), is_done) or _any(text)


def _check(stream: str) -> None:
    budget.fit(len(stream), budget.STREAM_CHARACTERS)
    budget.fit(stream.count("\n") + stream.count("\r"), budget.STREAM_LINES)
    budget.spend(stream, budget.STREAM)


def _objects(text: str) -> list[str]:
    """Return the lines of NDJSON; an object that was printed over several lines is one event."""
    lines = [line for line in text.split("\n") if line and line != "\r"]
    if len(lines) > 1 and not is_json(lines[0]) and is_json(text):
        return [text]
    return lines


def _unnamed(body: str, is_done: bool) -> Events | None:
    """Return the events where each is one line of data, and nothing but an empty line is between them."""
    if not body.startswith(DATA):
        return None
    data = body[len(DATA) :].split(BETWEEN)
    return Events(data, is_done=is_done) if body.count("\n") == 2 * (len(data) - 1) else None


def _regular(lines: list[str], is_done: bool) -> Events | None:
    """Return the events where all have the same few lines, or None.

    A carriage return before the line's end stays: behind JSON it is white space. Searching for
    more than one character costs more here than the loops.
    """
    names: list[str] | None = None
    if lines[0][:6] == DATA:
        data, blank = lines[0::2], lines[1::2]
    else:
        names, data, blank = lines[0::3], lines[1::3], lines[2::3]
    found = [line[6:] for line in data if line[:6] == DATA]
    is_regular = (
        len(found) == len(data)
        and BLANK.issuperset(blank)
        and (names is None or all(name[:7] == NAME for name in set(names)))
    )
    return Events(found, names, is_done=is_done) if is_regular else None


def _any(text: str) -> Events:
    """Return the events of any text, block by block, as the standard says."""
    data: list[str] = []
    names: list[str] = []
    is_done = False
    for block in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        name, found = _block(block)
        for one in found:
            if one == DONE:
                is_done = True
            else:
                data.append(one)
                names.append(name)
    if text and not data and not is_done:
        return Events([text])  # for example an error page, which must not be lost
    return Events(data, names, is_done=is_done)


def _block(block: str) -> tuple[str, list[str]]:
    """Return the name and the data of one block of lines.

    Several lines of data are one text, except where each is JSON by itself: some senders leave
    the blank line between events out.
    """
    name, data = "", []
    for line in block.split("\n"):
        field, _, content = line.partition(":")
        content = content.removeprefix(" ")
        if field == "data":
            data.append(content)
        elif field == "event":
            name = content
    if len(data) > 1:
        joined = "\n".join(data)
        return name, [joined] if is_json(joined) or not is_json(data[0]) else data
    return name, data
