"""Fetching of payloads for calls. Blocking; for threads.

Invariants:
- A row's URI is untrusted: only objects under the configured payload store are read, and their
  record must name the same organization and id as the row.
- A response holds at most PAYLOAD_BYTES of payloads, or those of one call.
- A file is restored only if its content has the digest in its name.
- A call whose payloads are unavailable is still returned, with the reason in ``payloads_missing``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec.structs import replace

from llmledgerd.errors import OBJECT_STORAGE, ConfigError, ObjectGone, StoreBusy
from llmledgerd.payloads import attachments, names, object_format
from llmledgerd.query.answer_budget import PAYLOAD_BYTES, fitting
from llmledgerd.query.erasure import ERASED_URI
from llmledgerd.query.results import Call, Payloads

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects

THREADS: Final = 8
"""Concurrent reads of objects for one response."""

NOT_KEPT: Final = "not stored, by the configured payload policy"
ERASED: Final = "erased"
NO_STORE: Final = "in object storage, but the reader has no payload_store configured"
ELSEWHERE: Final = "in an object store other than payload_store"
GONE: Final = "no longer in object storage"
AWAY: Final = "object storage is unavailable"
NOT_ITS_OWN: Final = "the object belongs to another call"
DAMAGED: Final = "a file of these payloads is damaged in object storage; its reference stays"
TOO_MUCH: Final = "over the size limit of one response; get the call by its id"
NOTHING: Final = Payloads(**dict.fromkeys(Payloads.__struct_fields__, b""))

Open = Callable[[], "Objects | None"]
Key = tuple[UUID, int]
"""Identity of a row: its segment and its line."""
Read = Callable[[Sequence[Call]], Mapping[Key, Payloads]]


class Fetcher:
    """Fetcher of payloads from the object storage of ``open_objects``, which is opened when needed."""

    def __init__(self, open_objects: Open = lambda: None) -> None:
        self._open = open_objects
        self._objects: Objects | None = None

    def complete_fitting(
        self, calls: Sequence[Call], stored: Sequence[int], read: Read, *, files: bool
    ) -> list[Call]:
        """Return the calls, of which the first that fit have their payloads.

        ``stored`` has the payload bytes in each row, and ``read`` returns them; with ``files``,
        extracted files are restored.
        """
        sizes = [
            max(size, call.request_size_bytes + call.response_size_bytes)
            if call.payload_uri or files
            else size
            for call, size in zip(calls, stored, strict=True)
        ]
        count = fitting(sizes, PAYLOAD_BYTES)
        found = read(calls[:count]) if any(stored[:count]) else {}
        chosen = [
            replace(call, payloads=found.get((call.batch_id, call.batch_row), NOTHING))
            for call in calls[:count]
        ]
        answer = _Answer(self._opened, files, max(PAYLOAD_BYTES, sum(sizes[:count])))
        with ThreadPoolExecutor(THREADS, thread_name_prefix="objects") as threads:
            completed = list(threads.map(answer.complete, chosen))
        return [*completed, *(replace(call, payloads_missing=TOO_MUCH) for call in calls[count:])]

    def _opened(self) -> Objects | None:
        if self._objects is None:
            self._objects = self._open()
        return self._objects


class _Answer:
    """One response; it waits at most once for an unavailable object store."""

    def __init__(self, opened: Open, files: bool, most: int) -> None:
        """``most`` is the limit of restored files in bytes."""
        self._opened = opened
        self._files = files
        self._left = most
        self._trouble = ""

    def complete(self, call: Call) -> Call:
        for step in (self._brought, self._with_files):
            try:
                call = step(call)
            except ObjectGone:
                return replace(call, payloads_missing=GONE)
            except (ConfigError, StoreBusy) as error:
                self._trouble = str(error)
                return replace(call, payloads_missing=f"{AWAY}: {error}")
        return call

    def _brought(self, call: Call) -> Call:
        if not call.payload_uri:
            return _noted(call)
        if call.payload_uri == ERASED_URI:
            return replace(call, payloads_missing=ERASED)
        objects = self._store()
        if objects is None:
            return replace(call, payloads_missing=NO_STORE)
        name = names.name_within(objects.base, call.payload_uri)
        if name is None:
            return replace(call, payloads_missing=ELSEWHERE)
        try:
            contents = object_format.unpack(objects.read(name))
        except object_format.NotARecord:
            return replace(call, payloads_missing=NOT_ITS_OWN)
        if (contents.organization_id, contents.id) != (call.organization_id, call.id):
            return replace(call, payloads_missing=NOT_ITS_OWN)
        here = call.payloads or NOTHING
        brought = {column: text for column, text in contents.payloads.items() if hasattr(here, column)}
        return replace(call, payloads=replace(here, **brought))

    def _with_files(self, call: Call) -> Call:
        if call.payloads is None or not self._files:
            return call
        damaged: list[str] = []
        read = partial(self._file, call.organization_id, damaged)
        whole = {
            column: attachments.restored(getattr(call.payloads, column), read)
            for column in Payloads.__struct_fields__
        }
        missing = DAMAGED if damaged else call.payloads_missing
        return replace(call, payloads=Payloads(**whole), payloads_missing=missing)

    def _file(self, organization: str, damaged: list[str], digest: str) -> bytes | None:
        objects = self._store()
        if objects is None or self._left <= 0:
            return None  # the reference stays in the payload
        try:
            content = objects.read(names.file_name(organization, digest))
        except ObjectGone:
            return None
        if sha256(content).hexdigest() != digest:
            damaged.append(digest)
            return None
        self._left -= len(content) * 4 // 3  # one payload may name one file any number of times
        return content if self._left >= 0 else None

    def _store(self) -> Objects | None:
        if self._trouble:
            raise StoreBusy(OBJECT_STORAGE, self._trouble)
        return self._opened()


def _noted(call: Call) -> Call:
    """Return a call whose payloads are in its row or were not stored."""
    sizes = call.request_size_bytes or call.response_size_bytes
    payloads = call.payloads
    if sizes and payloads and not (payloads.request_json or payloads.response_json):
        return replace(call, payloads_missing=NOT_KEPT)
    return call
