"""llmledger: record every LLM call of an application without the application ever waiting."""

from llmledger.client import Stats, TraceClient
from llmledger.context import BillingContext, context
from llmledger.default import aflush, begin, close, flush, record, stats
from llmledger.instrumentation import instrument, uninstrument
from llmledger.line import new_id
from llmledger.protocol import PROTOCOL_VERSION

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
