"""The spool: the daemon's write-ahead log, and the whole of its memory.

Invariant: what was appended and synced becomes exactly one row, one dead letter or one counted
loss, whatever dies; and the file system is the only thing that has to be believed.

Files, all in one folder, owned by the process that holds ``lock``:

``0000000000000042.seg``  a segment; the number only grows. One segment is one batch, one insert.
``quarantine/``           copies of segments that were damaged, or are of a newer format.
``dead-letters/``         one file for each segment that had some; see ``dead_letters``.
``reserve``               bytes given up when the disk is full, so that finished segments can
                          still be written off and deleted, which is what frees the disk.

A segment is a sequence of frames. A frame is (little endian)

    magic     4  f5 4c 54 0a
    kind      1  1 header, 2 group, 3 settled, 4 condemned
    flags     1  bit 0: the body is one zstd frame
    zero      2
    meta_len  4
    body_len  8  as stored
    body_sum  8  XXH3-64 of the body as stored
    head_sum  8  XXH3-64 of the 28 bytes before it and of the meta
    meta         MessagePack
    body

- A *header* comes first. Its body is a ``Snapshot``: every remembered session's durable count,
  begun calls, counters, decisions on rows at fault. Its meta says format, segment id, and how
  many bytes of the segment before it count.
- A *group* holds lines as they were received, flushed together: who sent how many of them, in
  which order, from which number on, and when. Its senders hear ``durable`` after the sync.
- *settled* says that a segment is done: how many of its lines were stored, condemned, lost. It
  is synced before that segment is deleted.
- *condemned* says that one row of a segment becomes a dead letter, before that is acted upon.

So the newest segment is a snapshot and the log of what changed since. Whoever wants the state
reads one file; the others only hold lines that wait for their store.

Who may do what: one writer thread creates, appends, seals and deletes. Any thread may read a
sealed segment. Nobody writes into a segment that another process began: recovery seals it.

Recovery, by kind of damage:

- a torn tail of the newest segment (a crash between write and sync) is cut off: nobody was told;
- a damaged place elsewhere: the next whole frame is looked for, what lies between is lost,
  counted, and the file is copied to quarantine before it is repaired;
- a damaged header: the state comes from the segment before it and the frames since. Where there
  is none, sessions are forgotten, and ``incomplete`` asks for their lines by id first;
- a newer format: moved to quarantine whole.

Nothing of this stops the start.
"""

from llmtraced.spool.files import Files
from llmtraced.spool.log import Spool
from llmtraced.spool.segment import Damage, ReadGroup, Segment
from llmtraced.spool.state import BegunCall, Condemned, Entry, EntryKind, Group, SessionState, Settled, State

__all__ = [
    "BegunCall",
    "Condemned",
    "Damage",
    "Entry",
    "EntryKind",
    "Files",
    "Group",
    "ReadGroup",
    "Segment",
    "SessionState",
    "Settled",
    "Spool",
    "State",
]
