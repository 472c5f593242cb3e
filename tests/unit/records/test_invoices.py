"""Worked invoices: each call is priced as its provider's price page says, or not at all and with the reason."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal

import msgspec
import pytest

from llmledger.protocol import Record
from llmledgerd.records.parsing import parse
from llmledgerd.records.pricing import Pricer, stored
from llmledgerd.records.rows import RowBuilder
from tests.helpers.columns import assert_fits, named
from tests.unit.records.invoice import Invoice
from tests.unit.records.invoices import INVOICES

BATCH = str(uuid.UUID(int=7, version=4))
RECEIVED_US = 1_795_132_800_000_000
"""2026-11-20, after the calls."""
TOLERANCE = Decimal("0.005")
NANO = Decimal("1e-9")

PRICER = Pricer()
STREAMED = [invoice for invoice in INVOICES if "response_stream" in invoice.record]


def row_of(invoice: Invoice) -> dict[str, object]:
    line = msgspec.json.encode(invoice.record)
    record = parse(line)
    assert isinstance(record, Record)
    row = RowBuilder(PRICER).row(
        record, line=line, service="invoices", received_us=RECEIVED_US, batch_id=BATCH, batch_row=0
    )
    assert_fits(row)
    return named(row)


def parts_of(invoice: Invoice) -> dict[str, Decimal]:
    due: dict[str, Decimal] = {}
    for line in invoice.lines:
        due[line.part] = due.get(line.part, Decimal(0)) + line.dollars
    return {part: dollars for part, dollars in due.items() if dollars}


@pytest.mark.parametrize("invoice", INVOICES, ids=lambda invoice: invoice.name)
def test_a_call_costs_what_the_price_page_says(invoice: Invoice) -> None:
    row = row_of(invoice)
    cost, parts = row["cost_usd"], row["cost_parts"]
    assert isinstance(parts, dict)
    assert row["cost_reason"] == invoice.reason
    assert {name: row[name] for name in invoice.row} == dict(invoice.row)
    if invoice.reason:
        assert (cost, row["cost_usd_source"], parts) == (None, "", {})
        return
    assert isinstance(cost, Decimal)
    assert abs(cost - invoice.dollars) <= invoice.dollars * TOLERANCE
    assert sum(parts.values(), Decimal(0)) == cost
    assert row["cost_usd_source"] == invoice.source
    if invoice.source == "list_price":
        due = parts_of(invoice)
        assert parts.keys() == due.keys()
        assert all(abs(parts[part] - dollars) <= NANO for part, dollars in due.items())
        assert row["price_list"]
        assert row["priced_model"]


@pytest.mark.parametrize("invoice", STREAMED, ids=lambda invoice: invoice.name)
def test_a_stream_that_is_cut_costs_the_whole_or_an_unknown_amount(invoice: Invoice) -> None:
    whole = row_of(invoice)["cost_usd"]
    stream = invoice.record["response_stream"]
    for end in [found.start() for found in re.finditer("\n\n|}", stream)]:
        cut = msgspec.structs.replace(invoice, record=invoice.record | {"response_stream": stream[:end]})
        row = row_of(cut)
        assert row["cost_usd"] in (None, whole)
        assert (row["cost_usd"] is None) == (row["cost_reason"] != "")


@pytest.mark.parametrize("invoice", INVOICES, ids=lambda invoice: invoice.name)
def test_a_stored_call_is_priced_again_as_it_was_on_arrival(invoice: Invoice) -> None:
    row = row_of(invoice)
    if row["cost_usd_source"] != "provider":
        created_us = row["created_at"]
        assert isinstance(created_us, int)
        price = stored.price(PRICER, row, created_us)
        assert (price.usd, price.source, price.reason) == (
            row["cost_usd"],
            row["cost_usd_source"],
            row["cost_reason"],
        )
        assert (price.parts, price.model, price.price_list) == (
            row["cost_parts"],
            row["priced_model"],
            row["price_list"],
        )


def test_there_are_more_invoices_than_eighty_and_no_two_of_one_name() -> None:
    assert len(INVOICES) >= 88
    assert len({invoice.name for invoice in INVOICES}) == len(INVOICES)


def test_each_invoice_names_its_price_page() -> None:
    assert all(invoice.page.title and invoice.page.url.startswith("https://") for invoice in INVOICES)


def test_each_invoice_has_a_working_or_a_reason() -> None:
    assert all(bool(invoice.lines) != bool(invoice.reason) for invoice in INVOICES)
