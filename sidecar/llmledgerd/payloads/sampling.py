"""Sampling: selection of the traces that keep their payloads. Pure.

Invariant: the decision is the same for all calls of one trace, in every daemon and after every restart. A
higher rate keeps every trace that a lower one keeps.
"""

from __future__ import annotations

import xxhash


def keeps(rate: float, trace_id: str, run_id: str, call: str) -> bool:
    """Return whether a call's payloads are among those kept: by its trace, else its run, else itself."""
    if rate >= 1:
        return True
    return xxhash.xxh3_64_intdigest((trace_id or run_id or call).encode()) < rate * (1 << 64)
