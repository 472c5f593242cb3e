"""Sums of a recomputation of costs."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from llmledgerd.query.repricing import Reprice, Repriced


def test_parts_of_a_range_add_up_by_model_and_list() -> None:
    first, second, whole = (
        Repriced(run="r", looked_at=2),
        Repriced(run="r", looked_at=1, changed=1),
        Repriced(),
    )
    first.change("openai", "m", "l").add(Decimal(1), None)
    first.change("openai", "m", "l").add(None, Decimal(3))
    second.change("openai", "m", "l").add(Decimal(2), Decimal(5))
    second.change("openai", "m", "other").add(Decimal(1), Decimal(1))
    whole.add_all(first)
    whole.add_all(second)
    assert (whole.run, whole.looked_at, whole.changed) == ("r", 3, 1)
    (one, other) = whole.models
    assert (one.calls, one.old_unknown, one.new_unknown) == (3, 1, 1)
    assert (one.old_usd, one.new_usd) == (Decimal(3), Decimal(8))
    assert (other.price_list, other.calls) == ("other", 1)


def test_an_entry_is_not_shared_between_results() -> None:
    first, second = Repriced(), Repriced()
    first.change("p", "m", "l").add(None, None)
    assert not second.models


@pytest.mark.parametrize("run", ["x", "' OR 1", "00000000-0000-0000-0000-00000000000G"])
def test_the_name_of_a_run_is_a_uuid(run: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(Reprice(from_us=1, to_us=2, run=run)), type=Reprice)
