"""What can go wrong, named by who acts next.

Invariant: no exception of the driver, of the file system or of msgspec leaves its module; what
crosses a module's boundary is one of these.
"""

from __future__ import annotations

OBJECT_STORAGE = "object_storage"
"""The kind of every StoreBusy of object storage."""


class LlmledgerdError(Exception):
    """Base; caught only at the outer edge."""


class ConfigError(LlmledgerdError):
    """The operator acts; the daemon does not start."""


class StoreBusy(LlmledgerdError):
    """Time acts: nothing of the batch was stored, offer the same batch again.

    ``kind`` is a short stable word for metrics and logs: ``unreachable``, ``authentication``,
    ``missing_table``, ``missing_column``, ``read_only``, ``settings``, ``overloaded``, ``timeout``,
    ``memory``, ``too_many_parts``, ``disk``, ``keeper``, ``replicas``, ``network``, ``proxy``,
    ``shutting_down``, ``object_storage``, ``other``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class OutcomeUnknown(StoreBusy):
    """The server may have stored the batch and its answer is lost: ask before offering it again."""


class BatchRejected(LlmledgerdError):
    """No retry can mend it: some row, or the table's shape, is at fault. Bisect to the row."""

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
    """Nobody can: an object that a row names is not in object storage, by the name that this says."""


class SpoolBroken(LlmledgerdError):
    """The disk acts, or the operator: stop acknowledging, and say so loudly."""


class SpoolLocked(ConfigError):
    """Another daemon owns the folder; two would repeat each other's segments."""
