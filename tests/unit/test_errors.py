"""What an error holds after it was let go."""

from __future__ import annotations

import gc
import weakref

import pytest

from llmledgerd.errors import let_go


class Batch(bytearray):
    """Bytes of which one can tell whether they are still in memory."""


def fail(batch: Batch) -> None:
    kept = OSError("cut")  # a variable of the call that raises it: a cycle
    raise kept


def failed(batch: Batch) -> OSError:
    with pytest.raises(OSError, match="cut") as caught:
        fail(batch)
    return caught.value


def test_an_error_lets_go_of_what_its_calls_held_and_those_of_its_cause_and_of_what_was_handled_meanwhile() -> (
    None
):
    batches = [Batch(b"own"), Batch(b"cause"), Batch(b"context")]
    error, cause, context = map(failed, batches)
    error.__cause__, error.__context__ = cause, context
    cause.__context__ = error  # chains may be rings
    held = [weakref.ref(batch) for batch in batches]
    gc.disable()
    try:
        del batches
        assert all(batch() is not None for batch in held)
        let_go(error)
        assert [batch() for batch in held] == [None, None, None]
    finally:
        gc.enable()
