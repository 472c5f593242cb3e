"""Payloads brought back to the calls that they belong to. Blocking; for threads.

Invariants:
- A row's URI is data, and sends nobody anywhere: what is read lies under the configured store, and its
  record names the same organization and the same id as the row.
- An answer holds at most PAYLOAD_BYTES of payloads, or those of one call.
- A call whose payloads cannot be had is returned all the same, and says why in ``payloads_missing``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec.structs import replace

from llmledgerd.errors import OBJECT_STORAGE, ConfigError, ObjectGone, StoreBusy
from llmledgerd.payloads import attachments, names, parcels
from llmledgerd.query.answer_budget import PAYLOAD_BYTES, fitting
from llmledgerd.query.results import Call, Payloads

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects

THREADS: Final = 8
"""Objects that are read at the same time for one answer."""

NOT_KEPT: Final = "not kept, as the settings say"
NO_STORE: Final = "in object storage, and payload_store is not set where they are read"
ELSEWHERE: Final = "in object storage that is not the one of payload_store"
GONE: Final = "no longer in object storage"
AWAY: Final = "object storage is not a valid value"
NOT_ITS_OWN: Final = "the object is not this call's"
TOO_MUCH: Final = "beyond what one answer holds; ask for the call by its id"
NOTHING: Final = Payloads(**dict.fromkeys(Payloads.__struct_fields__, b""))

Open = Callable[[], "Objects | None"]
Key = tuple[UUID, int]
"""A row, by its segment and its line."""
Read = Callable[[Sequence[Call]], Mapping[Key, Payloads]]


class Fetcher:
    """Fetches from the object storage that ``open_objects`` gives, which is asked for when it is needed."""

    def __init__(self, open_objects: Open = lambda: None) -> None:
        self._open = open_objects
        self._objects: Objects | None = None

    def complete_fitting(
        self, calls: Sequence[Call], stored: Sequence[int], read: Read, *, files: bool
    ) -> list[Call]:
        """Return the calls, the first of them that fit together with their payloads.

        ``stored`` says how many bytes lie in the row of each, and ``read`` brings them; with ``files``,
        those that were cut out are put back.
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
    """One answer, for which a store that is away is waited for once."""

    def __init__(self, opened: Open, files: bool, most: int) -> None:
        """``most`` is how many bytes of files are put back."""
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
        objects = self._store()
        if objects is None:
            return replace(call, payloads_missing=NO_STORE)
        name = names.name_within(objects.base, call.payload_uri)
        if name is None:
            return replace(call, payloads_missing=ELSEWHERE)
        try:
            contents = parcels.unpack(objects.read(name))
        except parcels.NotOurs:
            return replace(call, payloads_missing=NOT_ITS_OWN)
        if (contents.organization_id, contents.id) != (call.organization_id, call.id):
            return replace(call, payloads_missing=NOT_ITS_OWN)
        here = call.payloads or NOTHING
        brought = {column: text for column, text in contents.payloads.items() if hasattr(here, column)}
        return replace(call, payloads=replace(here, **brought))

    def _with_files(self, call: Call) -> Call:
        if call.payloads is None or not self._files:
            return call
        read = partial(self._file, call.organization_id)
        whole = {
            column: attachments.restored(getattr(call.payloads, column), read)
            for column in Payloads.__struct_fields__
        }
        return replace(call, payloads=Payloads(**whole))

    def _file(self, organization: str, digest: str) -> bytes | None:
        objects = self._store()
        if objects is None or self._left <= 0:
            return None  # the reference stays, and says what it was
        try:
            content = objects.read(names.file_name(organization, digest))
        except ObjectGone:
            return None
        self._left -= len(content) * 4 // 3  # one payload may name one file any number of times
        return content if self._left >= 0 else None

    def _store(self) -> Objects | None:
        if self._trouble:
            raise StoreBusy(OBJECT_STORAGE, self._trouble)
        return self._opened()


def _noted(call: Call) -> Call:
    """Return a call whose payloads are in its row, or nowhere."""
    sizes = call.request_size_bytes or call.response_size_bytes
    payloads = call.payloads
    if sizes and payloads and not (payloads.request_json or payloads.response_json):
        return replace(call, payloads_missing=NOT_KEPT)
    return call
