"""Mapping of ClickHouse's error codes to the reaction for a batch.

Invariant: a code is called impossible only where no retry of the same bytes can succeed, and
"nothing was stored" only where the engine refuses before it writes. Everything else, unknown codes
included, has to be asked about: a wrong "impossible" makes dead letters of good records, a wrong
"nothing was stored" stores them twice, and a needless question costs one query.

This module does no I/O. Names and numbers are those of ClickHouse's ErrorCodes.cpp; a test compares
them with the engine's own list.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping

from llmledgerd.errors import BatchRejected, LlmledgerdError, OutcomeUnknown, StoreBusy
from llmledgerd.stores.clickhouse.engine_text import plain

REFUSED: Mapping[int, tuple[str, str]] = {
    8: ("THERE_IS_NO_COLUMN", "missing_column"),
    10: ("NOT_FOUND_COLUMN_IN_BLOCK", "missing_column"),
    16: ("NO_SUCH_COLUMN_IN_TABLE", "missing_column"),
    47: ("UNKNOWN_IDENTIFIER", "missing_column"),
    60: ("UNKNOWN_TABLE", "missing_table"),
    81: ("UNKNOWN_DATABASE", "missing_table"),
    218: ("TABLE_IS_DROPPED", "missing_table"),
    115: ("UNKNOWN_SETTING", "settings"),
    452: ("SETTING_CONSTRAINT_VIOLATION", "settings"),
    164: ("READONLY", "read_only"),
    242: ("TABLE_IS_READ_ONLY", "read_only"),
    192: ("UNKNOWN_USER", "authentication"),
    193: ("WRONG_PASSWORD", "authentication"),
    194: ("REQUIRED_PASSWORD", "authentication"),
    195: ("IP_ADDRESS_NOT_ALLOWED", "authentication"),
    497: ("ACCESS_DENIED", "authentication"),
    516: ("AUTHENTICATION_FAILED", "authentication"),
    201: ("QUOTA_EXCEEDED", "overloaded"),
    202: ("TOO_MANY_SIMULTANEOUS_QUERIES", "overloaded"),
    203: ("NO_FREE_CONNECTION", "overloaded"),
    745: ("SERVER_OVERLOADED", "overloaded"),
    692: ("TOO_MANY_MUTATIONS", "mutations"),
    733: ("TABLE_IS_BEING_RESTARTED", "restarting"),
    285: ("TOO_FEW_LIVE_REPLICAS", "replicas"),
    286: ("UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", "replicas"),
}
"""Refused before anything was written: name, and the kind that is told."""

UNCERTAIN: Mapping[int, tuple[str, str]] = {
    # Too many parts is met before the table's own write, but also in a view's target after it.
    252: ("TOO_MANY_PARTS", "too_many_parts"),
    173: ("CANNOT_ALLOCATE_MEMORY", "memory"),
    241: ("MEMORY_LIMIT_EXCEEDED", "memory"),
    159: ("TIMEOUT_EXCEEDED", "timeout"),
    160: ("TOO_SLOW", "timeout"),
    209: ("SOCKET_TIMEOUT", "timeout"),
    198: ("DNS_ERROR", "network"),
    210: ("NETWORK_ERROR", "network"),
    279: ("ALL_CONNECTION_TRIES_FAILED", "network"),
    499: ("S3_ERROR", "disk"),
    243: ("NOT_ENOUGH_SPACE", "disk"),
    225: ("NO_ZOOKEEPER", "keeper"),
    999: ("KEEPER_EXCEPTION", "keeper"),
    319: ("UNKNOWN_STATUS_OF_INSERT", "keeper"),
    236: ("ABORTED", "shutting_down"),
    394: ("QUERY_WAS_CANCELLED", "shutting_down"),
    341: ("UNFINISHED", "replicas"),
    289: ("REPLICA_IS_NOT_IN_QUORUM", "replicas"),
    36: ("BAD_ARGUMENTS", "settings"),
    344: ("SUPPORT_IS_DISABLED", "settings"),
    48: ("NOT_IMPLEMENTED", "version"),
    62: ("SYNTAX_ERROR", "version"),
}
"""Met while or after rows were written: the same codes come from a view behind the table."""

IMPOSSIBLE: Mapping[int, str] = {
    6: "CANNOT_PARSE_TEXT",
    20: "NUMBER_OF_COLUMNS_DOESNT_MATCH",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    33: "CANNOT_READ_ALL_DATA",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    128: "TOO_LARGE_ARRAY_SIZE",
    131: "TOO_LARGE_STRING_SIZE",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    376: "CANNOT_PARSE_UUID",
    407: "DECIMAL_OVERFLOW",
    469: "VIOLATED_CONSTRAINT",
}
"""The rows are at fault. A view behind the table can say so too, after the table's own write: ask first."""

OF_CONNECTION: Mapping[int, str] = {32: "ATTEMPT_TO_READ_AFTER_EOF", 33: "CANNOT_READ_ALL_DATA"}
"""Of IMPOSSIBLE, those that a server also reports when its connection to another one ends."""

_FROM_ANOTHER = re.compile(
    r"received from|receiving packet|remote|socket|\bshard\b|\breplica\b", re.IGNORECASE
)

WHO_ACTS: Mapping[str, str] = {
    "settings": "its operator has to change the user's settings profile or the settings in clickhouse.url",
    "version": "its operator has to upgrade it (docs/clusters.md has the minimum versions)",
    "replicas": "its operator has to bring replicas back, or wait until they have caught up",
    "mutations": "its operator has to wait for, or kill, the mutations in system.mutations",
    "restarting": "the daemon retries until the table is back",
    "read_only": "its operator has to make the table or the user writable",
    "other": "its operator has to look the error up; the daemon retries",
}
"""Who has to do what, by the kind of an error that no retry alone may end."""

OF_STATEMENT = frozenset({8, 10, 16, 36, 47, 48, 60, 62, 81, 164, 344, 497})
"""Those of REFUSED that a person's statement has brought about itself: names, writing, a table that its
user may not read."""

OF_STORE: Mapping[int, str] = {
    40: "CHECKSUM_DOESNT_MATCH",
    74: "CANNOT_READ_FROM_FILE_DESCRIPTOR",
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    76: "CANNOT_OPEN_FILE",
    95: "CANNOT_READ_FROM_SOCKET",
    96: "CANNOT_WRITE_TO_SOCKET",
    107: "FILE_DOESNT_EXIST",
    226: "NO_FILE_IN_DATA_PART",
    228: "BAD_SIZE_OF_FILE_IN_DATA_PART",
    234: "NO_REPLICA_HAS_PART",
    246: "CORRUPTED_DATA",
    439: "CANNOT_SCHEDULE_TASK",
    1000: "POCO_EXCEPTION",
    1001: "STD_EXCEPTION",
    1002: "UNKNOWN_EXCEPTION",
}
"""Trouble of the store that no statement brings about, besides UNCERTAIN: files, network, threads."""

OUT_OF_TIME = frozenset({159, 160})
MEMORY_LIMIT_EXCEEDED = 241
_LIMIT_OF_QUERY = re.compile(r"Query memory limit|limit \(for query\)", re.IGNORECASE)
"""Not the limit of a user or of the whole server, which others have used up."""

_PINNED = re.compile(r"^Setting \S+ is (unknown or )?readonly", re.IGNORECASE)
"""The driver's own refusal to send a setting that the user's profile pins."""

_STATUS = re.compile(r"HTTP status (\d{3})")


def meaning(code: int | None, message: str) -> LlmledgerdError:
    """Return what an error that the engine, or something before it, answered means for the batch.

    ``code`` is ClickHouse's; None where the answer had none, as from a proxy or a dying server.
    """
    if code is None:
        return _without_code(message)
    if code in OF_CONNECTION and _FROM_ANOTHER.search(message):
        return OutcomeUnknown("network", message, code)
    if code in IMPOSSIBLE:
        return BatchRejected(code, message)
    if code in REFUSED:
        kind = REFUSED[code][1]
        return StoreBusy(kind, _with_advice(kind, message), code)
    kind = UNCERTAIN.get(code, ("", "other"))[1]
    return OutcomeUnknown(kind, _with_advice(kind, message), code)


def _with_advice(kind: str, message: str) -> str:
    return f"{message} [ClickHouse: {WHO_ACTS[kind]}]" if kind in WHO_ACTS and message else message


def _without_code(message: str) -> LlmledgerdError:
    if _PINNED.search(message):
        return StoreBusy("settings", _with_advice("settings", message))
    found = _STATUS.search(message)
    status = int(found[1]) if found else 0
    if status in (401, 403, 407):
        return StoreBusy("authentication", message)
    if status == 413:
        # A proxy's limit on bodies: halves may pass, and a row that alone is too large never will.
        return BatchRejected(0, message)
    if 400 <= status < 500 and status not in (408, 499):
        return StoreBusy("proxy", message)
    return OutcomeUnknown("timeout" if status in (408, 499, 504) else "network", message)


def settled(error: LlmledgerdError) -> StoreBusy:
    """Return the same error for a call that stores no rows: offer it again, nothing to ask about."""
    kind = error.kind if isinstance(error, StoreBusy) else "other"
    return StoreBusy(kind, str(error), error.code if isinstance(error, StoreBusy | BatchRejected) else None)


def fault_of_statement(error: StoreBusy) -> str:
    """Return what a person's statement did wrong, in one line; empty where the store is in trouble."""
    code = error.code
    if code is None or code in OF_STORE or code in REFUSED.keys() - OF_STATEMENT:
        return ""
    if code == MEMORY_LIMIT_EXCEEDED and _LIMIT_OF_QUERY.search(str(error)):
        return "the statement needs more memory than it may have; select less, or fewer rows at a time"
    if code in OUT_OF_TIME:
        return "the statement takes longer than it may; select less, or fewer rows at a time"
    if code in UNCERTAIN and code not in OF_STATEMENT:
        return ""
    return str(error).partition(" [ClickHouse: ")[0]


def translate(address: str, error: Exception, of_driver: type[Exception]) -> LlmledgerdError:
    """Return what an exception of the driver means for the batch that was under way.

    ``of_driver`` is the base of those that the driver makes of the engine's answers.
    """
    from urllib3 import exceptions as transport  # with the driver, which is there if it raised

    # What can only happen before a byte of the statement has left.
    never_sent = (transport.NewConnectionError, transport.ConnectTimeoutError, ssl.SSLCertVerificationError)
    chain = list(_causes(error))
    kinds = tuple(type(cause) for cause in chain)
    # The driver's libraries also handle errors of their own in passing, which are in the chain too.
    said = [cause for cause in chain if isinstance(cause, of_driver | transport.HTTPError | OSError)]
    text = f"{address}: {said[-1]}"
    if any(issubclass(kind, never_sent) for kind in kinds):
        return StoreBusy("unreachable", text)
    if any(issubclass(kind, transport.TimeoutError) for kind in kinds):
        return OutcomeUnknown("timeout", text)
    if any(issubclass(kind, transport.HTTPError) for kind in kinds):
        return OutcomeUnknown("network", text)
    if isinstance(error, of_driver):
        return meaning(getattr(error, "code", None), plain(str(error)))
    return StoreBusy("disk", f"{error}")  # the driver's temporary file, before the engine has seen it


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and what led to it, as far as it is of this call.

    A caller that tries again while it handles the last failure has that one in the chain too.
    """
    while error is not None and not isinstance(error, LlmledgerdError):
        yield error
        reason = getattr(error, "reason", None)  # urllib3 keeps the cause of its last retry here
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
