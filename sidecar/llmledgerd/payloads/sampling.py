"""Sampling: selection of the traces that keep their payloads. Pure.

Invariant: all calls of one trace share one fate, in every daemon and after every restart, and a
higher rate keeps whatever a lower one keeps.
"""

from __future__ import annotations

import xxhash


def keeps(rate: float, trace_id: str, run_id: str, call: str) -> bool:
    """Return whether a call's payloads are among those kept: by its trace, else its run, else itself."""
    if rate >= 1:
        return True
    return xxhash.xxh3_64_intdigest((trace_id or run_id or call).encode()) < rate * (1 << 64)
