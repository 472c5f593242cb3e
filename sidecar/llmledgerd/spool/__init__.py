"""Spool: the daemon's write-ahead log and its only persistent state.

Invariant: every line that was appended and synced becomes exactly one row, one dead letter or one counted
loss, whichever process or store fails. The spool relies on the file system alone.

Files, all in one folder, owned by the process that holds ``lock``:

``0000000000000042.seg``  a segment; the number only grows. One segment is one batch, one insert into
                          each store.
``….seg.tmp``             a rewritten copy, ignored until it is renamed to the segment's name.
``quarantine/``           copies of segments that were damaged, and segments of another format.
``dead-letters/``         one file per segment with dead letters; see ``dead_letters``.
``lock``                  locked while a daemon uses the folder.
``reserve``               bytes given up when the disk is full, so that finished segments can
                          still be sealed, written off and deleted, which is what frees the disk.

A segment is a sequence of frames. A frame is (little endian)

    marker   12  f5 4c 4c 54, and 8 random bytes of this segment's own
    kind      1  1 header, 2 group, 3 settled, 4 rejected row, 5 padding
    flags     1  bit 0: the body is one zstd frame
    zero      2
    meta_len  4
    body_len  8  as stored
    body_sum  8  XXH3-64 of the body as stored
    head_sum  8  XXH3-64 of the 36 bytes before it and of the meta
    meta         MessagePack
    body

The marker is unknown outside the folder. So a scan for the next frame after damage cannot mistake a
sender's bytes, or the remains of an older file on the disk, for a frame.

- A *header* comes first. Its body is a ``Snapshot``: every remembered session's durable count,
  begun calls; and of each store its counters, which segments it has settled, decisions on rows at
  fault. Its meta says format, segment id, and how
  many bytes of the segment before it count, and that one's marker; the snapshot says that of older ones in which a write
  failed. What lies beyond was told to nobody and written again elsewhere, so it must not count.
- A *group* holds lines as they were received, flushed together: who sent how many of them, in
  which order, from which number on, and when. Its senders hear ``durable`` after the sync.
- *settled* says that a store is done with a segment: how many of its lines were stored, rejected,
  lost. It is synced before that segment is deleted, which waits for the last store. The first store
  to settle a segment whose predecessors are read also says which calls it begins and ends.
- *rejected row* says that one row of a segment becomes a dead letter of one store, before that is acted
  upon.
- *padding* carries no data. If the file system lets segments be written past the page cache, it makes
  every write whole blocks of 4,096 bytes.

What a header says has a bound (``bounds.Limits``, 14 MiB of sessions and calls before it is compressed), so
that it always fits the reserve of 16 MiB: sessions beyond 4 MiB are forgotten unless they are connected or
have lines that wait, and beyond 10 MiB no further one is let in; begun calls have 3 MiB, those that were
given up 1 MiB. A header above 64 KiB is compressed. A segment without lines is left for another when 1 MiB
was written behind its header.

So the newest segment is a snapshot and the log of the changes since. The state is read from one file;
the others only hold lines that wait for their stores.

Threads: one writer thread creates, appends, seals and deletes. Any thread may read or
compress a sealed segment. Nobody appends to a segment that another process began (recovery seals
it), to one in which a write or a sync failed, or to one whose successor could not be begun, since
the successor's header may be on the disk all the same. What is deleted was settled in a frame that
is synced, or is older than a header that is.

Recovery writes the newest segment out once more before it believes it: an earlier process may have
been killed before its sync, or after a sync that failed and left the pages clean. Where the disk
refuses, nothing is appended until it does not. Then, by kind of damage:

- a torn tail of the newest segment (a crash between write and sync) is cut off: nobody was told.
  A flipped bit in the last group looks the same, so a copy goes to quarantine;
- a damaged place elsewhere: the next whole frame is looked for, what lies between is lost,
  counted, and the file is copied to quarantine before it is repaired. Rows keep their numbers;
- a damaged body keeps its place; ``read`` gives None for it, and its lines are lost, and counted
  when the segment is settled. In a sealed segment it is noticed then, and copied then;
- a damaged header: the state comes from the segment before it and the frames since. Where parts
  of the log are gone, sessions are remembered at less than they had, or not at all: ``incomplete``
  is set, and their lines are asked for by id. The segment's own id is gone too, so its lines count
  as repeats;
- unreadable, or of another format: moved to quarantine whole.

No damage prevents the start.
"""

from llmledgerd.spool.files import Files, FileSystem
from llmledgerd.spool.log import Spool
from llmledgerd.spool.segment import Damage, ReadGroup, Segment
from llmledgerd.spool.state import (
    ONLY_STORE,
    BegunCall,
    Change,
    Entry,
    EntryKind,
    Group,
    Progress,
    RejectedRow,
    SessionState,
    Settled,
    State,
)

__all__ = [
    "ONLY_STORE",
    "BegunCall",
    "Change",
    "Damage",
    "Entry",
    "EntryKind",
    "FileSystem",
    "Files",
    "Group",
    "Progress",
    "ReadGroup",
    "RejectedRow",
    "Segment",
    "SessionState",
    "Settled",
    "Spool",
    "State",
]
