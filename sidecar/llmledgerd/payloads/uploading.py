"""Upload of a batch's objects to object storage.

Invariants:
- When ``upload`` has returned, every object that a row of the batch names is stored.
- No object of another call is overwritten: if a different record has the name, the object gets another name,
  which its row contains. A repeated upload finds its own object and changes nothing.
- A file that lost its content is stored again when a payload refers to it anew.
- A new reference to a file refreshes its age, so that cleaning by age never deletes a file that a row needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from llmledgerd.errors import OBJECT_STORAGE, ObjectGone, StoreBusy
from llmledgerd.payloads import names, object_format
from llmledgerd.payloads.uploads import File, PayloadObject, Uploads

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects

REFRESH: Final = timedelta(days=1)
"""Age above which a file is stored again for a new reference; the margin of cleaning is larger."""

Job = Callable[[], Awaitable[None]]


class Uploader:
    """Upload of batches' objects with bounded concurrency. For one event loop."""

    def __init__(self, objects: Objects, in_flight: int) -> None:
        self._objects = objects
        self._in_flight = in_flight

    async def upload(self, uploads: Uploads, batch: str, rows: Collection[int]) -> bool:
        """Store the objects of a batch's rows; return whether the rows must be encoded again.

        Raises StoreBusy; objects stored by then are not uploaded again. No content is copied in
        memory.
        """
        jobs = self._jobs(uploads, batch, frozenset(rows))
        await self._done(jobs, len(uploads.files) + len(uploads.objects))
        await self._objects.settle(uploads.stored)
        uploads.files.clear()
        uploads.objects.clear()
        uploads.done = True
        return bool(uploads.names)

    async def withdraw(self, uploads: Uploads, batch: str) -> None:
        """Delete the objects of a batch's rows that will not refer to them, under either name that they may have.

        Objects of other calls stay. Raises StoreBusy; objects deleted by then are not asked for again.
        """
        jobs = (
            partial(self._withdraw_object, uploads, batch, row, one)
            for row, one in list(uploads.objects.items())
        )
        await self._done(jobs, len(uploads.objects))

    async def _withdraw_object(
        self, uploads: Uploads, batch: str, row: int, payload_object: PayloadObject
    ) -> None:
        for name in (payload_object.name, names.own_name(payload_object.name, batch, row)):
            try:
                is_ours = object_format.same(await self._objects.get(name), payload_object.content)
            except ObjectGone:
                continue
            if is_ours:
                await asyncio.to_thread(self._objects.delete, [name])
        del uploads.objects[row]

    async def _done(self, jobs: Iterator[Job], count: int) -> None:
        """Do all jobs, some at a time; raise the first error when all workers have ended."""
        workers = [_work(jobs) for _ in range(min(self._in_flight, count))]
        failed = [error for error in await asyncio.gather(*workers, return_exceptions=True) if error]
        if failed:
            raise failed[0]

    def _jobs(self, uploads: Uploads, batch: str, rows: frozenset[int]) -> Iterator[Job]:
        for file in list(uploads.files.values()):
            yield partial(self._file, uploads, file)
        for row, payload_object in list(uploads.objects.items()):
            if row in rows:
                yield partial(self._upload_object, uploads, batch, row, payload_object)

    async def _file(self, uploads: Uploads, file: File) -> None:
        found = await self._objects.found(file.name)
        is_whole = found is not None and found.size == len(file.content)
        if found is None or not is_whole or found.modified < datetime.now(UTC) - REFRESH:
            await self._objects.put(file.name, file.content, file.media_type)
        del uploads.files[file.name]
        uploads.stored.add(file.name)

    async def _upload_object(
        self, uploads: Uploads, batch: str, row: int, payload_object: PayloadObject
    ) -> None:
        if not await self._is_stored(payload_object):
            payload_object = msgspec.structs.replace(
                payload_object, name=names.own_name(payload_object.name, batch, row)
            )
            if not await self._is_stored(payload_object):  # stored for this row before the settings changed
                await self._objects.put(payload_object.name, payload_object.content)
            uploads.names[row] = payload_object.name
        del uploads.objects[row]
        uploads.stored.add(payload_object.name)

    async def _is_stored(self, payload_object: PayloadObject) -> bool:
        """Store an object; return False if a different one has its name."""
        if await self._objects.create(payload_object.name, payload_object.content):
            return True
        try:
            return object_format.same(await self._objects.get(payload_object.name), payload_object.content)
        except ObjectGone as error:  # deleted since; the name is free now
            raise StoreBusy(OBJECT_STORAGE, f"{error} was there and is gone") from error


async def _work(jobs: Iterator[Job]) -> None:
    for job in jobs:
        await job()
