"""How many rows a rule of somebody else may cost."""

from __future__ import annotations

from llmledgerd.stores.postgres.refusals import DAY_SECONDS, MANY, Allowance


def test_so_many_rows_a_day_are_given_up_for_each_reason() -> None:
    allowance = Allowance()
    assert all(allowance.take("one", float(now)) for now in range(MANY))
    assert not allowance.take("one", MANY)
    assert allowance.take("other", MANY)
    assert allowance.take("one", DAY_SECONDS)
    assert not allowance.take("one", DAY_SECONDS)
