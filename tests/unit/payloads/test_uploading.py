"""Uploads and cleaning: no object is written over, none that a row needs is deleted."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import timedelta

import pytest

from llmledgerd.errors import StoreBusy
from llmledgerd.payloads import names
from llmledgerd.payloads.cleaning import FILES_MARGIN, Cleaned, clean, pointed_sql
from llmledgerd.payloads.uploading import REFRESH, Uploader
from llmledgerd.payloads.uploads import File, PayloadObject, Uploads
from tests.helpers.memory_objects import MemoryObjects

BATCH = "6d0c0d6c-7d7e-4c8e-9b39-6f5d2b4f2c11"
NAME = "raw/date=2026-11-21/a.json.gz"
OWN = f"raw/date=2026-11-21/a={BATCH}-1.json.gz"


def payload_object(said: str, name: str = NAME) -> PayloadObject:
    return PayloadObject(name, gzip.compress(said.encode(), mtime=0))


async def uploaded(objects: MemoryObjects, uploads: Uploads, rows: Sequence[int] = (0, 1, 2)) -> bool:
    return await Uploader(objects, 2).upload(uploads, BATCH, rows)


async def test_a_repeated_upload_writes_nothing_and_changes_no_name() -> None:
    objects = MemoryObjects()
    for _ in range(2):
        uploads = Uploads(objects={1: payload_object("one")})
        assert not await uploaded(objects, uploads)
        assert uploads.done
    assert objects.writes == [NAME]
    assert objects.settled == {NAME}


async def test_a_file_that_lost_its_content_is_stored_again() -> None:
    objects, file = MemoryObjects(), File("files/org=a/ab/abc", b"picture", "image/png")
    for damage in (b"", b"pict"):
        objects.content[file.name], objects.stored_at[file.name] = damage, objects.now
        await uploaded(objects, Uploads(files={file.name: file}))
        assert objects.content[file.name] == b"picture"


async def test_another_call_s_object_is_left_to_it() -> None:
    objects = MemoryObjects()
    objects.content[NAME] = payload_object("another").content
    for _ in range(2):  # the second time after a restart
        uploads = Uploads(objects={1: payload_object("one")})
        assert await uploaded(objects, uploads)
        assert uploads.names == {1: OWN}
    assert objects.content == {NAME: payload_object("another").content, OWN: payload_object("one").content}


async def test_a_row_whose_object_differs_from_that_of_an_earlier_attempt_has_the_newer_one() -> None:
    objects = MemoryObjects()
    objects.content = {
        NAME: payload_object("another").content,
        OWN: payload_object("one, before the rules changed").content,
    }
    await uploaded(objects, Uploads(objects={1: payload_object("one")}))
    assert objects.content[OWN] == payload_object("one").content


async def test_objects_that_are_withdrawn_go_and_another_call_s_stays() -> None:
    one, other, missing = (payload_object(name, f"raw/date=2026-11-21/{name}.json.gz") for name in "abc")
    objects = MemoryObjects()
    objects.content = {
        one.name: payload_object("another call's").content,
        names.own_name(one.name, BATCH, 1): one.content,
        other.name: other.content,
    }
    uploads = Uploads(objects={1: one, 2: other, 3: missing})
    await Uploader(objects, 2).withdraw(uploads, BATCH)
    assert list(objects.content) == [one.name]
    assert not uploads.objects


async def test_what_could_not_be_stored_is_tried_again_and_the_rest_is_not() -> None:
    objects = MemoryObjects()
    other = "raw/date=2026-11-21/b.json.gz"
    objects.failing = {other}
    uploads = Uploads(
        objects={
            0: payload_object("one"),
            1: payload_object("two", other),
            2: payload_object("three", f"{other}.json.gz"),
        }
    )
    with pytest.raises(StoreBusy):
        await uploaded(objects, uploads)
    assert (uploads.done, set(uploads.objects), objects.settled) == (False, {1}, set())
    objects.failing.clear()
    await uploaded(objects, uploads)
    assert sorted(objects.writes) == sorted(objects.settled) == sorted({NAME, other, f"{other}.json.gz"})


async def test_rows_that_are_not_inserted_get_no_object() -> None:
    objects = MemoryObjects()
    await uploaded(objects, Uploads(objects={0: payload_object("one")}), rows=[1])
    assert objects.content == {}


async def test_a_file_is_stored_once_and_made_young_again_when_it_is_old() -> None:
    objects = MemoryObjects()
    file = File(names.file_name("acme", "ab" * 32), b"png", "image/png")
    for _ in range(2):
        await uploaded(objects, Uploads(files={file.name: file}))
    assert objects.writes == [file.name]
    objects.stored_at[file.name] -= REFRESH + timedelta(minutes=1)
    await uploaded(objects, Uploads(files={file.name: file}))
    assert objects.writes == [file.name] * 2


async def test_only_what_is_old_and_nobody_s_is_deleted() -> None:
    objects = MemoryObjects()
    before = objects.now - timedelta(days=90)
    ages = {
        "raw/date=2026-01-01/old.json.gz": before - timedelta(days=1),
        "raw/date=2026-01-01/pointed.json.gz": before - timedelta(days=1),
        "raw/date=2026-01-01/backfilled-today.json.gz": objects.now,
        "raw/date=2026-01-01/not ours.txt": before - timedelta(days=1),
        "raw/other/not-ours.json.gz": before - timedelta(days=1),
        f"raw/date={objects.now:%Y-%m-%d}/new.json.gz": objects.now,
        names.file_name("acme", "ab" * 32): before - FILES_MARGIN - timedelta(days=1),
        names.file_name("acme", "cd" * 32): before - timedelta(days=1),
    }
    objects.content = dict.fromkeys(ages, b"four")
    objects.stored_at = ages

    async def pointed(wanted: Sequence[str]) -> set[str]:
        return {name for name in wanted if "pointed" in name}

    counted = await clean(objects, pointed, before, delete=False)
    assert len(objects.content) == len(ages)
    assert counted == await clean(objects, pointed, before, delete=True)
    assert counted == Cleaned(objects=1, object_bytes=4, files=1, file_bytes=4, kept=1)
    assert sorted(set(ages) - set(objects.content)) == [
        "files/org=acme/ab/" + "ab" * 32,
        "raw/date=2026-01-01/old.json.gz",
    ]


def test_only_names_of_ours_get_into_the_question_for_rows() -> None:
    asked = pointed_sql(["raw/date=2026-01-01/a.json.gz", "raw/date=2026-01-01/x') OR 1 --.json.gz"])
    assert "'raw/date=2026-01-01/a.json.gz'" in asked
    assert "OR 1" not in asked
