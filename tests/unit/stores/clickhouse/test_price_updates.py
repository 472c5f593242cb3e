"""Statements that change costs: all values in them, bounded, no two rows confused."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest

from llmledgerd.records.pricing import Price
from llmledgerd.stores.clickhouse.price_updates import STATEMENT_BYTES, Update, quoted, statements


def update(number: int, price: Price, key: int | None = None) -> Update:
    return Update(
        str(uuid.UUID(int=number)), number, number + 2**63 if key is None else key, 10**15 + number, price
    )


def priced(amount: str, **parts: str) -> Price:
    named = {part: Decimal(each) for part, each in parts.items()} or {"input": Decimal(amount)}
    return Price(Decimal(amount), "list_price", "", "m", "list", named)


def test_a_statement_stays_below_what_a_server_reads_and_each_row_is_in_one() -> None:
    updates = [update(number, priced("123456789.123456789")) for number in range(5000)]
    found = list(statements(updates, "llm_traces"))
    assert max(len(statement) for statement, _ in found) < STATEMENT_BYTES * 1.2 < 256 << 10
    places = [str(uuid.UUID(int=number)) for number in range(5000)]
    assert all(sum(place in statement for statement, _ in found) == 1 for place in places[::500])


def test_a_statement_has_the_bounds_of_its_rows_and_their_words_bound() -> None:
    updates = [update(number, priced("1")) for number in (7, 3, 5)]
    ((statement, values),) = statements(updates, "t_local ON CLUSTER 'c'")
    assert statement.startswith("ALTER TABLE t_local ON CLUSTER 'c' UPDATE ")
    assert (values["first"], values["last"]) == (10**15 + 3, 10**15 + 7)
    assert (values["source"], values["reason"], values["model"], values["list"]) == (
        "list_price",
        "",
        "m",
        "list",
    )


def test_rows_of_other_lists_and_rows_without_a_cost_have_statements_of_their_own() -> None:
    without = Price(None, "", "no_price", "m")
    updates = [update(1, priced("1")), update(2, without), update(3, priced("2"))]
    found = list(statements(updates, "t"))
    assert [values["reason"] for _, values in found] == ["", "no_price"]
    assert "transform" not in found[1][0]


def test_two_rows_whose_keys_collide_are_not_in_one_statement() -> None:
    updates = [update(1, priced("1"), key=9), update(2, priced("2"), key=9)]
    assert len(list(statements(updates, "t"))) == 2


@pytest.mark.parametrize(
    ("text", "literal"),
    [("", "''"), ("it's", r"'it\'s'"), ("a\\'b", r"'a\\\'b'"), ("{x:Int8}", "'{x:Int8}'")],
)
def test_a_text_ends_where_it_ends(text: str, literal: str) -> None:
    assert quoted(text) == literal
