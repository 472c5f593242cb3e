"""Marks of erasures: what a store has missed stays in force until it is executed there."""

from __future__ import annotations

from pathlib import Path

from llmledgerd.delivery.erasure_marks import Mark, Marks, leave
from llmledgerd.query.erasure import Erasure

ERASURE = Erasure(organization_id="acme", until_us=10)


def test_a_mark_stays_until_every_store_that_missed_it_has_executed_it(tmp_path: Path) -> None:
    name = leave(tmp_path, Mark(ERASURE, "somebody"))
    leave(tmp_path, Mark(ERASURE, "somebody", ("one", "other", "removed")), name)
    marks = Marks(tmp_path, ("one", "other"))
    for store in ("one", "other"):
        assert marks.owed(store) == {name: ERASURE}
        marks.forget(11)
        assert marks.current() == (ERASURE,)
        marks.paid(name, store)
        assert marks.owed(store) == {}
    marks.forget(11)
    assert Marks(tmp_path).current() == ()
