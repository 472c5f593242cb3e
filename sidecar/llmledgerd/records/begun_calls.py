"""Stored fields of a begun call: those of its abandoned row if no record follows. Pure.

Invariant: the stored line has at most MOST_BYTES, whatever was sent. Identifiers, which have their own
limit, are complete; longer texts are truncated.
"""

from __future__ import annotations

from typing import Final

import msgspec

from llmledger.protocol import MAX_ID_CHARACTERS, Begin, Billing, frame
from llmledgerd.records.wire_fields import LABELS

MOST_BYTES: Final = 32 << 10
"""Limit in bytes, for characters of maximum size. An ordinary begin has some 300."""
TEXT_CHARACTERS: Final = MAX_ID_CHARACTERS
URL_CHARACTERS: Final = 512
MOST_TAGS: Final = 16
MOST_ATTEMPT: Final = (1 << 16) - 1

_TEXTS: Final = tuple(name for name in LABELS if name in Begin.__struct_fields__)


def kept(begin: Begin) -> bytes:
    """Return the begin line truncated to its stored fields."""
    texts = {name: _cut(getattr(begin, name)) for name in _TEXTS}
    short = msgspec.structs.replace(
        begin,
        url=_cut(begin.url, URL_CHARACTERS),
        tags=[tag[:TEXT_CHARACTERS] for tag in begin.tags[:MOST_TAGS]] if begin.tags else None,
        attempt=min(begin.attempt, MOST_ATTEMPT) if begin.attempt else None,
        billing=_billing(begin.billing) if begin.billing else None,
        **texts,
    )
    return frame("begin", short)[:-1]


def _billing(billing: Billing) -> Billing:
    return Billing(_cut(billing.plan_type), _cut(billing.cost_source), billing.customer_id)


def _cut(text: str | None, most: int = TEXT_CHARACTERS) -> str | None:
    return text[:most] if text else None
