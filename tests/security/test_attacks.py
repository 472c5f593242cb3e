"""No attack gets through, class by class."""

from __future__ import annotations

import pytest

from tests.security.__main__ import classes, ran


@pytest.mark.slow
@pytest.mark.parametrize("name", classes())
def test_no_attack_of_this_class_gets_through(name: str) -> None:
    attack = ran(name)
    if attack.skipped:
        pytest.skip(attack.skipped)
    assert attack.attempts > 0
    assert attack.through == []
    assert attack.blind == []
