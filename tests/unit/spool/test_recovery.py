"""The start succeeds whatever lies in the folder, keeps every whole group, and says what is gone."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest

from llmledgerd.errors import ConfigError, SpoolBroken, SpoolLocked
from llmledgerd.spool import ONLY_STORE, Files, RejectedRow, Settled, Spool
from llmledgerd.spool import files as files_module
from llmledgerd.spool import format as fmt
from llmledgerd.spool.files import BLOCK_BYTES, O_DIRECT, STAGED_BYTES
from llmledgerd.spool.format import Frame, Kind
from llmledgerd.spool.segment import HeaderMeta, name_of, number_of
from tests.helpers.crashing_files import CrashingFiles
from tests.unit.spool.examples import (
    OTHER,
    OWN,
    SESSION,
    START_US,
    append,
    group,
    lines_in,
    one_of_everything,
    text,
)

FIXTURES = Path(__file__).parents[2] / "fixtures"
OPEN = name_of(4)
MARKER = fmt.new_marker()


def filled() -> CrashingFiles:
    files = CrashingFiles(Random(1))
    one_of_everything(files)
    return files


def started(files: CrashingFiles | Files) -> tuple[Spool, list[str]]:
    """Return a recovered spool, and which segments its damage names."""
    spool = Spool(files)
    return spool, [found.segment for found in spool.recover()]


def with_newest(data: bytes) -> CrashingFiles:
    files = CrashingFiles(Random(1))
    for name, intact in filled().image().items():
        files.put(name, data if name == OPEN else intact)
    return files


def assert_identity_holds(spool: Spool) -> None:
    for name, store in spool.state.snapshot.stores.items():
        counted = store.stored + store.dead + store.lost + store.control
        assert store.received == counted + spool.waiting(name)


def test_a_clean_restart_remembers_everything() -> None:
    files = filled()
    before = one_of_everything(CrashingFiles(Random(1))).state.snapshot
    spool, damaged = started(files)
    assert damaged == []
    assert not spool.incomplete
    assert spool.state.snapshot == before
    assert lines_in(spool) == [
        *(text(number) for number in range(3, 12)),
        b'{"one":"way"}',
        *(text(number) for number in range(12, 15)),
        b'{"other":1}',
        OWN[:-1],
        text(15),
        text(16),
    ]
    assert all(segment.recovered for segment in spool.segments.values())


def test_an_idle_spool_that_is_restarted_twice_remembers_its_sessions() -> None:
    files = CrashingFiles(Random(1))
    spool, _ = started(files)
    append(spool, [text(1)])
    spool.seal(START_US)
    spool.settle(Settled(segment=1, stored=1), START_US)
    for _ in range(3):
        files.power_fails()
        spool, damaged = started(files)
        assert damaged == []
        assert spool.state.snapshot.sessions[SESSION].durable == 1
        assert spool.state.snapshot.stores[ONLY_STORE].stored == 1


@pytest.mark.parametrize("tail", ["cut", "zeros"])
def test_a_torn_tail_is_cut_at_the_last_whole_group(tail: str) -> None:
    whole = filled().image()[OPEN]
    ends = [frame.end for frame in fmt.scan(fmt.marker_in(whole), whole) if isinstance(frame, Frame)]
    groups = [
        frame.end
        for frame in fmt.scan(fmt.marker_in(whole), whole)
        if isinstance(frame, Frame) and frame.kind == Kind.GROUP
    ]
    for cut in range(ends[0], len(whole)):
        kept = whole[:cut]
        files = with_newest(kept if tail == "cut" else kept + bytes(len(whole) - cut))
        spool, damaged = started(files)
        assert (OPEN in damaged) == (tail == "zeros" or cut not in ends)
        in_open = list(spool.read(spool.segments[4])) if 4 in spool.segments else []
        assert len(in_open) == sum(end <= cut for end in groups)
        assert not spool.incomplete
        assert_identity_holds(spool)


def test_a_header_that_was_never_finished_leaves_the_state_of_the_one_before() -> None:
    files = filled()
    spool, _ = started(files)
    before = msgspec.msgpack.encode(spool.state.snapshot)
    for size in (0, 10, 100):
        files.put(name_of(5), filled().image()[OPEN][:size])
        spool, _ = started(files)
        assert msgspec.msgpack.encode(spool.state.snapshot) == before
        assert not spool.incomplete


def test_a_lost_header_forgets_sessions_and_has_every_line_asked_for_by_its_id() -> None:
    files = CrashingFiles(Random(1))
    spool, _ = started(files)
    append(spool, [text(1)])
    append(spool, [text(2)], first=2)
    data = bytearray(files.image()[name_of(1)])
    data[0] ^= 1
    files = CrashingFiles(Random(1))
    files.put(name_of(1), bytes(data))
    for _ in range(2):
        spool, _ = started(files)
        (segment,) = spool.segments.values()
        assert segment.nameless
        assert lines_in(spool) == [text(1), text(2)]
        entries = [entry for found in spool.read(segment) for entry in found.group.entries]
        assert all(entry.repeats for entry in entries)
        assert spool.state.snapshot.sessions[SESSION].suspect_until > 1 << 60


def test_without_the_newest_header_the_state_comes_from_the_one_before_and_sessions_are_suspect() -> None:
    whole = filled().image()[OPEN]
    spool, damaged = started(with_newest(b"\0" + whole[1:]))
    assert OPEN in damaged
    assert spool.incomplete
    assert spool.state.snapshot.sessions[SESSION].durable == 16
    assert spool.state.snapshot.sessions[OTHER].durable == 1
    assert_identity_holds(spool)


def test_a_hole_keeps_the_rows_after_it_where_they_were() -> None:
    whole = filled().image()[OPEN]
    groups = [
        frame
        for frame in fmt.scan(fmt.marker_in(whole), whole)
        if isinstance(frame, Frame) and frame.kind == Kind.GROUP
    ]
    damaged = bytearray(whole)
    damaged[groups[1].start] ^= 1
    files = with_newest(bytes(damaged))
    for _ in range(2):  # the second start reads the repaired file
        spool, _ = started(files)
        found = list(spool.read(spool.segments[4]))
        assert [group.group.first_row for group in found] == [0, 3, 4]
        assert spool.segments[4].rows == 6
        assert_identity_holds(spool)
    assert files.image()[f"quarantine/{OPEN}"] == bytes(damaged)


def test_a_group_that_is_damaged_while_it_waits_is_noticed_when_it_is_read() -> None:
    image = filled().image()
    damaged = bytearray(image[name_of(3)])
    damaged[-3] ^= 1
    files = CrashingFiles(Random(1))
    for name, data in image.items():
        files.put(name, bytes(damaged) if name == name_of(3) else data)
    spool, said = started(files)
    assert said == []
    bodies = [group.body is not None for group in spool.read(spool.segments[3])]
    assert bodies == [True, True, False]
    assert files.image()[f"quarantine/{name_of(3)}"] == bytes(damaged)
    assert not spool.compress(spool.segments[3])


def newer_format(files: CrashingFiles, number: int) -> bytes:
    meta = HeaderMeta(format=fmt.FORMAT + 1, batch=b"b" * 16, created_us=START_US)
    data = b"".join(fmt.encode(MARKER, Kind.HEADER, msgspec.msgpack.encode(meta), [b"of a later version"]))
    files.put(name_of(number), data)
    return data


def test_a_segment_of_a_newer_format_is_moved_to_quarantine_whole() -> None:
    files = filled()
    data = newer_format(files, 5)
    spool, damaged = started(files)
    assert name_of(5) in damaged
    assert files.image()[f"quarantine/{name_of(5)}"] == data
    assert spool.incomplete
    assert spool.state.snapshot.sessions[SESSION].durable == 16


def test_a_number_that_lies_in_quarantine_is_not_given_out_again() -> None:
    files = filled()
    newer_format(files, 5)
    started(files)
    spool, _ = started(files)
    append(spool, [text(17)], first=17)
    assert spool.open is not None
    assert spool.open.number == 6


def test_a_meta_that_is_whole_and_not_understood_is_of_a_newer_format() -> None:
    files = filled()
    strange = b"".join(fmt.encode(MARKER, Kind.GROUP, msgspec.msgpack.encode("no group"), [b"body"]))
    files.put(name_of(5), strange)
    spool, damaged = started(files)
    assert name_of(5) in damaged
    assert files.image()[f"quarantine/{name_of(5)}"] == strange
    assert lines_in(spool)


# -- frames that a sender has made up -----------------------------------------------------------------


def made_up(marker: bytes) -> list[bytes]:
    """Return frames of every kind that would do harm, as lines of one sender."""
    pack = msgspec.msgpack.encode
    header = HeaderMeta(format=fmt.FORMAT, batch=b"b" * 16, created_us=START_US, previous=3)
    frames = [
        fmt.encode(marker, Kind.SETTLED, pack(Settled(segment=2, stored=6))),
        fmt.encode(marker, Kind.SETTLED, pack(Settled(segment=3, stored=5))),
        fmt.encode(marker, Kind.REJECTED_ROW, pack(RejectedRow(3, 0, "refused_by_store", "27: no number"))),
        fmt.encode(marker, Kind.HEADER, pack(header), [pack({"stores": {}})]),
        fmt.encode(marker, Kind.GROUP, pack(group([b"nobody's"])), [b"nobody's\n"]),
        fmt.encode(marker, Kind.PADDING, b"", [bytes(80)]),
    ]
    return [b"".join(frame) for frame in frames]


def with_made_up_frames(marker: bytes) -> tuple[CrashingFiles, int]:
    """Return a folder in whose newest group a sender has put frames of his own, and where that group is."""
    files = CrashingFiles(Random(1))
    spool = one_of_everything(files)
    at = len(files.image()[OPEN])
    append(spool, b"\n".join(made_up(marker)).split(b"\n"), session=OTHER, first=2)
    return files, at


@pytest.mark.parametrize("marker", [MARKER, fmt.MAGIC + bytes(8)], ids=["his own", "zeros"])
def test_frames_that_a_sender_has_made_up_are_none_whatever_is_torn_around_them(marker: bytes) -> None:
    files, at = with_made_up_frames(marker)
    whole = files.image()[OPEN]
    for torn in range(
        0, fmt.HEAD_BYTES, 4
    ):  # the group's first block has not come to the disk, or not all of it
        damaged = bytearray(whole)
        damaged[at : at + fmt.HEAD_BYTES - torn] = bytes(fmt.HEAD_BYTES - torn)
        spool, said = started(with_newest(bytes(damaged)))
        assert OPEN in said
        assert list(spool.segments) == [2, 3, 4]
        assert lines_in(spool) == lines_in(started(filled())[0])
        assert not spool.state.snapshot.stores[ONLY_STORE].rejected.get(3, {}).get(0)
        assert_identity_holds(spool)


def test_a_damaged_header_leaves_the_marker_to_the_next_one() -> None:
    files, _ = with_made_up_frames(MARKER)
    spool, _ = started(files)
    append(spool, [text(17)], first=17)
    image = files.image()
    damaged = bytearray(image[OPEN])
    damaged[: fmt.HEAD_BYTES] = MARKER + damaged[fmt.MARKER_BYTES : fmt.HEAD_BYTES]
    again = CrashingFiles(Random(1))
    for name, data in image.items():
        again.put(name, bytes(damaged) if name == OPEN else data)
    found, _ = started(again)
    assert lines_in(found) == lines_in(spool)


def test_an_unreadable_segment_is_put_aside() -> None:
    files = filled()
    files.fail("read", errno.EACCES)
    spool, damaged = started(files)
    assert OPEN in damaged
    assert f"quarantine/{OPEN}" in files.image()
    assert lines_in(spool)[-1] == text(12)
    assert spool.incomplete
    assert_identity_holds(spool)


@pytest.mark.parametrize("name", ["notes.txt", "7.seg", "².seg", "000000000000000x.seg", "9" * 20 + ".seg"])
def test_a_foreign_file_is_left_alone(name: str) -> None:
    files = filled()
    files.put(name, b"mine")
    spool, damaged = started(files)
    assert damaged == []
    append(spool, [text(17)], first=17)
    assert files.image()[name] == b"mine"
    assert spool.last_number == 5


def test_only_names_that_we_give_are_segments() -> None:
    assert number_of(name_of(42)) == 42
    assert [number_of(name) for name in ("42.seg", "²" * 16 + ".seg", "lock", "")] == [None] * 4


def test_a_half_written_copy_is_deleted_at_the_start() -> None:
    files = filled()
    files.put(f"{name_of(3)}.tmp", b"half")
    started(files)
    assert f"{name_of(3)}.tmp" not in files.image()


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_takes_nothing_does_not_stop_the_start(trouble: str) -> None:
    whole = filled().image()[OPEN]
    files = with_newest(whole[:-5])
    if trouble == "full":
        files.capacity = 0
    else:
        files.read_only = True
    spool, damaged = started(files)
    assert OPEN in damaged
    left = lines_in(spool)
    assert left[-1] == OWN[:-1]
    with pytest.raises(SpoolBroken):
        append(spool, [text(17)], first=17)
    files.heal()
    append(spool, [text(17)], first=17)
    assert lines_in(spool) == [*left, text(17)]


def test_nothing_is_appended_before_what_was_found_is_on_the_disk() -> None:
    files = filled()
    files.process_dies()
    files.fail("resync")
    spool, damaged = started(files)
    assert OPEN in damaged
    assert spool.unsynced == [OPEN]
    files.fail("resync")
    with pytest.raises(SpoolBroken):
        append(spool, [text(17)], first=17)
    append(spool, [text(17)], first=17)
    assert spool.unsynced == []


def test_a_segment_written_off_while_it_is_compressed_does_not_come_back() -> None:
    files = filled()
    spool, _ = started(files)
    segment = spool.segments[3]

    def settle_first(operation: str) -> None:
        if operation == "create":
            files.before = lambda operation: None
            spool.settle(Settled(segment=3, stored=5), START_US)

    append(spool, [text(17)], first=17)
    files.before = settle_first
    assert not spool.compress(segment)
    assert name_of(3) not in files.image()
    assert f"{name_of(3)}.tmp" not in files.image()


def test_a_disk_that_fails_while_a_segment_is_compressed_leaves_it_as_it_was() -> None:
    files = filled()
    spool, _ = started(files)
    before = lines_in(spool)
    files.fail("write", errno.ENOSPC)
    with pytest.raises(SpoolBroken, match="not compressed"):
        spool.compress(spool.segments[3])
    assert not spool.segments[3].compressed
    assert lines_in(spool) == before
    assert f"{name_of(3)}.tmp" not in files.image()
    assert spool.compress(spool.segments[3])
    assert lines_in(spool) == before


# -- the real file system ---------------------------------------------------------------------------


def test_a_spool_that_an_earlier_daemon_of_this_format_left_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    shutil.copytree(FIXTURES / f"spool-format-{fmt.FORMAT}", folder)
    spool, damaged = started(Files(folder))
    assert damaged == []
    assert len(lines_in(spool)) == 17
    snap = spool.state.snapshot
    store = snap.stores[ONLY_STORE]
    assert (store.received, store.stored, store.control, spool.waiting(ONLY_STORE)) == (19, 1, 1, 17)
    assert snap.sessions[SESSION].durable == 16
    assert snap.sessions[SESSION].client == "client/1"
    assert snap.sessions[OTHER].over
    assert set(snap.abandoned) == {"call-1"}
    assert store.rejected == {3: {2: ("refused_by_store", "27: no number")}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir()
    one_of_everything(Files(path)).close()
    return path


def test_real_files_are_recovered_like_the_others(folder: Path) -> None:
    spool, damaged = started(Files(folder))
    assert damaged == []
    assert lines_in(spool) == lines_in(started(filled())[0])
    assert spool.compress(spool.segments[3])
    spool.reject_row(RejectedRow(3, 0, "refused", "why"), START_US)
    spool.settle(Settled(segment=2, stored=6), START_US)
    spool.reserve()
    assert (folder / "reserve").stat().st_size > 0
    assert {path.name for path in folder.iterdir()} == {"reserve", *(name_of(number) for number in (3, 4, 5))}
    spool.close()


def test_a_real_torn_tail_is_kept_in_quarantine_and_cut(folder: Path) -> None:
    whole = (folder / OPEN).read_bytes()
    torn = whole[: whole.rindex(b'"line":16')]
    (folder / OPEN).write_bytes(torn)
    spool, damaged = started(Files(folder))
    assert damaged == [OPEN]
    assert (folder / "quarantine" / OPEN).read_bytes() == torn
    assert len((folder / OPEN).read_bytes()) < len(torn)
    assert lines_in(spool)[-1] == OWN[:-1]


def test_folders_and_links_named_like_segments_are_left_alone(folder: Path) -> None:
    (folder / name_of(5)).mkdir()
    (folder / name_of(6)).symlink_to(folder / name_of(3))
    spool, damaged = started(Files(folder))
    assert damaged == []
    for _ in range(2):
        with pytest.raises(SpoolBroken):
            append(spool, [text(17)], first=17)
    append(spool, [text(17)], first=17)
    assert spool.open is not None
    assert spool.open.number == 7
    spool.close()


def test_more_buffers_than_one_call_takes_are_written_in_order(tmp_path: Path) -> None:
    files = Files(tmp_path)
    handle = files.create("many")
    buffers = [b"%d," % number for number in range(3000)]
    handle.write([buffers[0], b"", *buffers[1:]])
    handle.sync()
    handle.close()
    handle.close()
    assert files.read("many") == b"".join(buffers)
    assert files.read("many", 2, 4) == b"1,2,"


@pytest.mark.parametrize("refused", [False, True], ids=["past the page cache", "through it"])
def test_whole_blocks_are_written_and_read_whatever_the_buffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    if refused:
        monkeypatch.setattr(files_module, "_past_cache", lambda descriptor: False)
    files, dice = Files(tmp_path), Random(5)
    handle = files.create("some", direct=True)
    written = b""
    for size in (1, 4096, 5000, STAGED_BYTES - 1, 3 * STAGED_BYTES + 17):
        buffers: list[bytes | bytearray] = [dice.randbytes(size), b"", bytearray(b"and more")]
        buffers.append(bytes(-sum(map(len, buffers)) % BLOCK_BYTES))
        handle.write(buffers)
        handle.sync()
        written += b"".join(buffers)
    handle.close()
    assert files.read("some") == written
    with files.reading("some") as read:
        for _ in range(50):
            start, size = dice.randrange(len(written)), dice.randrange(len(written))
            assert read(start, size) == written[start : start + size]


def test_a_file_system_that_takes_the_flag_and_refuses_the_call_is_used_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not O_DIRECT:
        pytest.skip("there is a page cache and no way past it")
    refused, files = [], Files(tmp_path)

    def refusing(real: Callable[..., int]) -> Callable[..., int]:
        def call(descriptor: int, *arguments: object) -> int:
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & O_DIRECT:
                refused.append(real)
                raise OSError(errno.EINVAL, "nothing direct here")
            return real(descriptor, *arguments)

        return call

    handle = files.create("some", direct=True)
    monkeypatch.setattr(os, "write", refusing(os.write))
    monkeypatch.setattr(os, "preadv", refusing(os.preadv))
    handle.write([b"x" * handle.block])
    handle.close()
    with files.reading("some") as read:
        assert read(1, handle.block) == b"x" * (handle.block - 1)
    assert len(refused) == 2


def test_a_file_is_let_go_of_while_its_failure_is_still_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    handle = Files(tmp_path).create("some", direct=True)
    monkeypatch.setattr(os, "write" if handle.block > 1 else "writev", full)
    with pytest.raises(OSError, match="full") as failure:
        handle.write([bytes(handle.block)])
    handle.close()
    assert failure.tb is not None


def test_a_second_daemon_is_refused_the_folder(tmp_path: Path) -> None:
    first, second = Files(tmp_path / "a" / "spool"), Files(tmp_path / "a" / "spool")
    first.lock()
    with pytest.raises(SpoolLocked):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_folder_that_cannot_be_is_the_operators_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match="spool_dir"):
        Files(tmp_path / "file").lock()
    with pytest.raises(ConfigError, match="spool_dir"):
        Spool(Files(tmp_path / "file")).recover()
