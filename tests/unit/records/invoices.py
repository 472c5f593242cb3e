"""All worked invoices."""

from __future__ import annotations

from tests.unit.records import (
    invoices_anthropic,
    invoices_aws,
    invoices_google,
    invoices_hosts,
    invoices_makers,
    invoices_openai,
    invoices_streams,
    invoices_traps,
)

INVOICES = (
    invoices_anthropic.INVOICES
    + invoices_openai.INVOICES
    + invoices_google.INVOICES
    + invoices_aws.INVOICES
    + invoices_makers.INVOICES
    + invoices_hosts.INVOICES
    + invoices_streams.INVOICES
    + invoices_traps.INVOICES
)
