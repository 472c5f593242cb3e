"""llmtrace: record every LLM call of an application without the application ever waiting."""

from llmtrace.client import Stats, TraceClient
from llmtrace.context import BillingContext, context
from llmtrace.default import aflush, begin, close, flush, record, stats
from llmtrace.instrumentation import instrument, uninstrument
from llmtrace.line import new_id
from llmtrace.protocol import PROTOCOL_VERSION

__version__ = "0.1.0"

__all__ = [
    "PROTOCOL_VERSION",
    "BillingContext",
    "Stats",
    "TraceClient",
    "aflush",
    "begin",
    "close",
    "context",
    "flush",
    "instrument",
    "new_id",
    "record",
    "stats",
    "uninstrument",
]
