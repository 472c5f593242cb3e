"""llmtrace: record every LLM call of an application without the application ever waiting."""

from llmtrace.client import Stats, TraceClient
from llmtrace.default import aflush, begin, close, flush, record, stats
from llmtrace.line import new_id
from llmtrace.protocol import PROTOCOL_VERSION

__version__ = "0.1.0"

__all__ = [
    "PROTOCOL_VERSION",
    "Stats",
    "TraceClient",
    "aflush",
    "begin",
    "close",
    "flush",
    "new_id",
    "record",
    "stats",
]
