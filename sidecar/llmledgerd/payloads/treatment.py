"""Transformation of a finished row into the stored row and its objects. Pure.

Invariant: only the payload columns and ``payload_uri`` change; all numbers and other texts are those of the
received payloads. The same row always has the same result.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from llmledgerd.payloads import attachments, names, object_format, sampling
from llmledgerd.payloads.policy import Decision, Policy
from llmledgerd.payloads.uploads import PayloadObject, Uploads
from llmledgerd.records.schema import COLUMNS, Row

_AT: Final = {name: index for index, name in enumerate(COLUMNS)}
_PAYLOADS: Final = tuple(_AT[column] for column in object_format.PAYLOADS.values())


class Treatment:
    """Treatment of rows by the settings. It has no state between rows, so that any thread may call it."""

    def __init__(self, policy: Policy, *, base: str = "", attachments_above_bytes: int = 0) -> None:
        """``base`` is the URL of object storage; empty: none."""
        self._policy = policy
        self.is_idle = all(decision.changes_nothing for decision in policy.decisions)
        self._base = base
        self._attachments_above_bytes = attachments_above_bytes

    def treat(self, row: Row, uploads: Uploads) -> Row:
        """Return the row to store; its objects are added to ``uploads``, unless the upload is done."""
        if self.is_idle:
            return row
        decision = self._policy.decide(_text(row, "organization_id"), _text(row, "call_type"))
        if decision.changes_nothing or not any(row[place] for place in _PAYLOADS):
            return row
        if decision.mode == "metadata_only" or not _is_kept(row, decision):
            return _without_payloads(row)
        if decision.attachments != "keep":
            row = self._cut(row, decision, uploads)
        size = sum(len(_bytes(row, place)) for place in _PAYLOADS)
        if decision.mode == "offload" and size > decision.above_bytes:
            return self._offloaded(row, uploads)
        return row

    def _cut(self, row: Row, decision: Decision, uploads: Uploads) -> Row:
        name = partial(names.file_name, _text(row, "organization_id"))
        values = list(row)
        for place in _PAYLOADS:
            values[place], files = attachments.cut(
                _bytes(row, place), decision.attachments, self._attachments_above_bytes, name
            )
            if not uploads.done:
                uploads.files |= {file.name: file for file in files}
        return tuple(values)

    def _offloaded(self, row: Row, uploads: Uploads) -> Row:
        number = row[_AT["batch_row"]]
        created_us = row[_AT["created_at"]]
        assert isinstance(number, int)  # noqa: S101 - tells the type checker what the columns hold
        assert isinstance(created_us, int)  # noqa: S101 - tells the type checker what the column holds
        name = names.record_name(_text(row, "id"), created_us)
        if not uploads.done:
            uploads.objects[number] = PayloadObject(name, object_format.pack(row))
        return _without_payloads(row, names.uri(self._base, uploads.names.get(number, name)))


def _is_kept(row: Row, decision: Decision) -> bool:
    """Return whether the sample includes this row; failed calls are always included."""
    if row[_AT["is_error"]]:
        return True
    return sampling.keeps(
        decision.sample_rate, _text(row, "trace_id"), _text(row, "run_id"), _text(row, "id")
    )


def _without_payloads(row: Row, uri: str = "") -> Row:
    values = list(row)
    for place in _PAYLOADS:
        values[place] = b""
    values[_AT["payload_uri"]] = uri
    return tuple(values)


def _text(row: Row, column: str) -> str:
    return str(row[_AT[column]])


def _bytes(row: Row, place: int) -> bytes:
    value = row[place]
    return value if isinstance(value, bytes) else b""
