"""Recorded form of uploads (``multipart/form-data``, RFC 7578). Pure.

Invariants:
- The text fields of a form are kept under their names, in their order; of a file its name, type and size are,
  and never a byte of it.
- Time and memory are bounded: of a long body only its ends are looked into, where the fields stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

WHOLE_BYTES: Final = 4 << 20
"""Limit of bodies that are searched whole, in half a millisecond."""

END_BYTES: Final = 64 << 10
"""Of a longer body, what is looked into at each end."""

LONGEST_FIELD: Final = 64 << 10
MOST_PARTS: Final = 256

FORM: Final = "multipart/form-data"

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))', re.IGNORECASE)
_NAME = re.compile(r';\s*name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_FILE = re.compile(r';\s*filename(\*)?=(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE)
_TYPE = re.compile(r"^content-type:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_DISPOSITION = re.compile(r"^content-disposition:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_END_OF_HEADERS: Final = b"\r\n\r\n"


_TEXT_TYPES: Final = ("text/", "application/json")


class Part(NamedTuple):
    """One field of a form."""

    disposition: str
    content_type: str = "text/plain"
    """RFC 7578 has that of a part which names none."""
    content: bytes | None = None
    """None where it is not in memory."""
    length: int | None = None


def recorded(parts: Iterable[Part]) -> dict[str, Any] | None:
    """Return the form as one object; a name that occurs several times has a list."""
    form: dict[str, Any] = {}
    for part, _ in zip(parts, range(MOST_PARTS), strict=False):
        name = _NAME.search(part.disposition)
        if name is None:
            continue
        value = _value(part)
        if name[1] not in form:
            form[name[1]] = value
        elif isinstance(form[name[1]], list):
            form[name[1]].append(value)
        else:
            form[name[1]] = [form[name[1]], value]
    return form or None


def _value(part: Part) -> Any:
    """Return a field's text, or the description of what has a file name, another type, or is long."""
    file = _FILE.search(part.disposition)
    is_text = file is None and part.content_type.lower().startswith(_TEXT_TYPES)
    if is_text and part.content is not None and len(part.content) <= LONGEST_FIELD:
        return part.content.decode("utf-8", "replace")
    length = part.length if part.content is None else len(part.content)
    name = (file[2] or file[3]) if file else ""
    said = {"filename": name, "content_type": part.content_type, "bytes": length}
    return {name: value for name, value in said.items() if value not in ("", None)}


def parts_of(body: bytes, content_type: str) -> Iterator[Part]:
    """Yield the parts of an encoded form; of a long one those that stand whole at either end, and the headers
    of the one that begins at its start."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return
    mark = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    if len(body) <= WHOLE_BYTES:
        yield from _parts(body, mark)
        return
    yield from _parts(body[:END_BYTES], mark)
    end = body[-END_BYTES:]
    start = end.find(b"\r\n" + mark)
    if start >= 0:
        yield from _parts(end[start + 2 :], mark)


def _parts(body: bytes, mark: bytes) -> Iterator[Part]:
    """Yield the parts between marks; one that does not end here has headers and no content."""
    at = body.find(mark)
    while at >= 0:
        start = at + len(mark)
        if body[start : start + 2] == b"--":
            return
        at = body.find(b"\r\n" + mark, start)
        headers_end = body.find(_END_OF_HEADERS, start, None if at < 0 else at + 2)
        if headers_end >= 0:
            content = body[headers_end + len(_END_OF_HEADERS) : at] if at >= 0 else None
            headers = body[start:headers_end].decode("utf-8", "replace")
            kind, disposition = _TYPE.search(headers), _DISPOSITION.search(headers)
            yield Part(
                disposition[1] if disposition else "", kind[1].strip() if kind else "text/plain", content
            )
        at += 2 if at >= 0 else 0


def parts_of_stream(stream: Any) -> Iterator[Part]:
    """Yield the parts of a form that ``httpx`` has not encoded yet."""
    for field in stream.fields:
        headers = field.render_headers()
        is_file = hasattr(field, "file")
        kind = _TYPE.search(headers.decode("utf-8", "replace")) if is_file else None
        content = field.file if is_file else field.value
        length = None if isinstance(content, str | bytes) else field.get_length()
        disposition = headers.partition(b"\r\n")[0].decode("utf-8", "replace")
        yield Part(
            disposition,
            kind[1] if kind else "text/plain",
            _in_memory(content),
            None if length is None else length - len(headers),
        )


def parts_of_writer(writer: Any) -> Iterator[Part]:
    """Yield the parts of a form that ``aiohttp`` has not encoded yet."""
    for payload, *_ in writer._parts:
        headers = payload.headers
        kind, disposition = headers.get("Content-Type", "text/plain"), headers.get("Content-Disposition", "")
        yield Part(disposition, kind, _in_memory(getattr(payload, "_value", None)), payload.size)


def _in_memory(content: Any) -> bytes | None:
    if isinstance(content, str):
        return content.encode("utf-8", "replace")
    return content if isinstance(content, bytes) else None
