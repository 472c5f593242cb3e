"""Exception types, by the required reaction.

Invariant: exceptions of drivers, the file system and msgspec do not leave their module; only these
cross a module's boundary.
"""

from __future__ import annotations

import traceback

OBJECT_STORAGE = "object_storage"
"""The kind of every StoreBusy of object storage."""


class LlmledgerdError(Exception):
    """Base class; caught only by outermost handlers."""


class ConfigError(LlmledgerdError):
    """Configuration error: the daemon does not start until the operator fixes it."""


class StoreBusy(LlmledgerdError):
    """Temporary failure: nothing of the batch was stored; retry the same batch.

    ``kind`` is a short stable word for metrics and logs: ``unreachable``, ``authentication``,
    ``missing_table``, ``missing_column``, ``read_only``, ``settings``, ``overloaded``, ``timeout``,
    ``memory``, ``too_many_parts``, ``disk``, ``keeper``, ``replicas``, ``network``, ``proxy``,
    ``shutting_down``, ``restarting``, ``mutations``, ``version``, ``hidden_rows``, ``servers``, ``object_storage``,
    ``locked``, ``table`` (it refuses rows for a reason of its own), ``other``. ``code`` is the store's own number,
    if it gave one.
    """

    def __init__(self, kind: str, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


class AnswerIncomplete(StoreBusy):
    """Some replicas did not answer which rows are stored: ``rows`` are, and others may be."""

    def __init__(self, rows: set[int], message: str) -> None:
        super().__init__("replicas", message)
        self.rows = rows


class OutcomeUnknown(StoreBusy):
    """The server may have stored the batch, but its response was lost: check before a retry."""


class BatchRejected(LlmledgerdError):
    """Permanent failure of a row or the table's schema. Bisect the batch to find the row."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Rejected(LlmledgerdError):
    """One line that cannot become a row. ``reason`` is a stable word, ``detail`` is for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class ObjectGone(LlmledgerdError):
    """An object that a row refers to is missing in object storage; the message is its name."""


class SpoolBroken(LlmledgerdError):
    """The spool cannot make lines durable: stop acknowledging, and log an error."""


class SpoolLocked(ConfigError):
    """Another daemon uses the spool's folder; two would deliver each other's segments again."""


def let_go(error: BaseException) -> None:
    """Clear the variables of the calls that an error and its causes came through.

    Drivers keep an error in a variable of the call that raises it, which is a cycle: with it a batch of megabytes would
    stay in memory until the next garbage collection, and in an outage one for each attempt.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            waiting += (one.__cause__, one.__context__)
