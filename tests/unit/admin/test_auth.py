"""A token lets its holder see what the file says, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmledgerd.admin.auth import OPERATOR, Access, Forbidden, Tokens, new, scope_of
from llmledgerd.errors import ConfigError

ACME = Access(operator=False, organizations=frozenset({"acme"}))
TWO = Access(operator=False, organizations=frozenset({"acme", "other"}))


def test_a_new_token_lets_its_holder_in_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    mine, entry = new(["acme", 'o"dd'], "grafana")
    all_of_them, second = new([])
    file.write_text(f"{entry}\n\n{second}\n")
    tokens = Tokens(str(file))

    assert tokens.access(f"Bearer {mine}") == Access(False, frozenset({"acme", 'o"dd'}))
    assert tokens.access(f"bearer {all_of_them}") == OPERATOR
    for wrong in ("", "Bearer", "Bearer ", f"Basic {mine}", f"Bearer {mine}x", mine, f"Bearer {mine[:-1]}"):
        assert tokens.access(wrong) is None
    assert mine not in file.read_text()


def test_without_a_file_nobody_is_let_in() -> None:
    assert Tokens("").access("Bearer anything") is None


def test_an_entry_that_is_taken_out_lets_nobody_in_any_more(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    mine, entry = new(["acme"])
    other, kept = new(["acme"])
    file.write_text(f"{entry}\n{kept}\n")
    tokens = Tokens(str(file))
    assert tokens.access(f"Bearer {mine}") is not None

    file.write_text(f"{kept}\n")
    os.utime(file, ns=(0, 1))  # as any later write has another time

    assert tokens.access(f"Bearer {mine}") is None
    assert tokens.access(f"Bearer {other}") is not None


@pytest.mark.parametrize(
    "text",
    [
        "tokens = 1",
        "[[tokens]]\nsha256 = 'short'\norganizations = ['a']",
        f"[[tokens]]\nsha256 = '{'0' * 64}'",
        f"[[tokens]]\nsha256 = '{'0' * 64}'\norganizations = ['a']\nall_organizations = true",
        f"[[tokens]]\nsha256 = '{'0' * 64}'\norganization = ['a']",
        "[[tokens",
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=r"tokens\.toml"):
        Tokens(str(file))
    with pytest.raises(ConfigError, match="missing"):
        Tokens(str(tmp_path / "missing"))


def test_the_organization_is_the_one_that_was_named() -> None:
    assert scope_of(OPERATOR, "acme", False) == "acme"
    assert scope_of(OPERATOR, "", False) == ""
    assert scope_of(OPERATOR, None, True) is None
    assert scope_of(TWO, "other", False) == "other"
    assert scope_of(ACME, None, False) == "acme"


@pytest.mark.parametrize("organization", ["other", "", "%", "null", "ACME", "acme "])
def test_a_token_does_not_reach_beyond_its_organizations(organization: str) -> None:
    with pytest.raises(Forbidden):
        scope_of(ACME, organization, False)


def test_every_organization_is_for_operators_who_say_so() -> None:
    with pytest.raises(Forbidden):
        scope_of(ACME, None, True)
    for access in (OPERATOR, TWO):
        with pytest.raises(ValueError, match="missing"):
            scope_of(access, None, False)
    with pytest.raises(ValueError, match="mutually exclusive"):
        scope_of(OPERATOR, "acme", True)


def test_a_token_for_metrics_is_for_nothing_else(tmp_path: Path) -> None:
    made, entry = new([], metrics=True)
    file = tmp_path / "tokens.toml"
    file.write_text(entry)

    access = Tokens(str(file)).access(f"Bearer {made}")

    assert access == Access(operator=False, metrics=True)
    for organization, every in (("acme", False), ("", False), (None, True)):
        with pytest.raises(Forbidden):
            scope_of(access, organization, every)
    with pytest.raises(ValueError, match="missing organization_id"):
        scope_of(access, None, False)
