"""A code confirms what was counted, once, for whoever it was counted for."""

from __future__ import annotations

import msgspec
import pytest

from llmledgerd.admin.confirmation import MOST, SECONDS, Confirmations
from llmledgerd.query.erasure import Erasure

COUNTED = Erasure(organization_id="acme", user_id="u-1", until_us=7)
ASKED = msgspec.structs.replace(COUNTED, until_us=None)


def test_a_code_brings_back_what_was_counted_and_is_used_up() -> None:
    codes = Confirmations()
    code = codes.offer("me", COUNTED, 0.0)
    assert codes.redeem("me", ASKED, code, SECONDS) == COUNTED
    with pytest.raises(ValueError, match="unknown"):
        codes.redeem("me", ASKED, code, SECONDS)


@pytest.mark.parametrize(
    ("who", "asked", "now"),
    [
        ("you", ASKED, 0.0),
        ("me", msgspec.structs.replace(ASKED, rows=True), 0.0),
        ("me", msgspec.structs.replace(ASKED, user_id=None), 0.0),
        ("me", ASKED, SECONDS + 1),
    ],
)
def test_a_code_is_for_no_other_and_ends_by_being_tried(who: str, asked: Erasure, now: float) -> None:
    codes = Confirmations()
    code = codes.offer("me", COUNTED, 0.0)
    with pytest.raises(ValueError, match="count again"):
        codes.redeem(who, asked, code, now)
    with pytest.raises(ValueError, match="unknown"):
        codes.redeem("me", ASKED, code, 0.0)


def test_codes_that_nobody_uses_are_bounded() -> None:
    codes = Confirmations()
    first = codes.offer("me", COUNTED, 0.0)
    last = [codes.offer("me", COUNTED, 0.0) for _ in range(MOST)][-1]
    with pytest.raises(ValueError, match="unknown"):
        codes.redeem("me", ASKED, first, 0.0)
    assert codes.redeem("me", ASKED, last, 0.0) == COUNTED
