"""``llmledger prices``: what a model costs by the lists of the settings, and which calls have no cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec
import typer

from llmledgerd.cli import output, tables
from llmledgerd.cli.asking import AsJson, Limit, Org, Since, Until, ask, option, scope, times
from llmledgerd.cli.messages import Nothing, echo, echo_json
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.cli.time_arguments import moment
from llmledgerd.daemon import price_files
from llmledgerd.records.pricing import PricedCall, Pricer
from llmledgerd.records.pricing.pricer import Quote
from llmledgerd.records.pricing.rates import TOKEN_PARTS, Rates
from llmledgerd.records.pricing.reasons import NO_PRICE_FOR_PART, REASONS
from llmledgerd.records.timestamps import microseconds


class Wanted(msgspec.Struct, frozen=True):
    """Calls whose price is asked for."""

    model: str
    provider: str
    organization: str
    tier: str
    region: str
    on: datetime


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Prices of one model of one provider, for calls with more input tokens than ``above_input_tokens``."""

    provider: str
    model: str
    on: datetime
    price_list: str
    source: str
    above_input_tokens: int | None = None
    per_million_tokens: dict[str, Decimal] = {}
    per_unit: dict[str, Decimal] = {}
    per_call: Decimal | None = None
    per_second: Decimal | None = None

    def parts(self) -> Iterator[tuple[str, Decimal, str]]:
        """Yield part, amount, and for what."""
        for part, amount in self.per_million_tokens.items():
            yield part, amount, "million tokens"
        for part, amount in self.per_unit.items():
            yield part, amount, "unit"
        if self.per_call is not None:
            yield "request", self.per_call, "call"
        if self.per_second is not None:
            yield "duration", self.per_second, "second"


@with_target
def show_prices(
    model: Annotated[
        str | None, typer.Argument(help="Name of the model, as a reply or a request has it.")
    ] = None,
    provider: Annotated[
        str | None, option("Provider, as price lists call it (default: all that sell it).")
    ] = None,
    org: Org = None,
    tier: Annotated[str, option("Service tier: standard, batch, flex, priority.")] = "standard",
    region: Annotated[str, option("Region, as in the column of that name.")] = "",
    on: Annotated[str | None, option("Day or time, UTC (default: now).")] = None,
    unpriced: Annotated[
        bool, typer.Option("--unpriced", help="List calls without a cost by model and reason instead.")
    ] = False,
    since: Since = "30d",
    until: Until = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    *,
    target: Target,
) -> None:
    """Show what a model costs, own prices included; with --unpriced which calls have no cost and why.

    Prices are those of this host's settings and their files as they are now; a running daemon has read
    the files at its start or at the last SIGHUP.
    """
    if unpriced == (model is not None):
        raise typer.BadParameter("give a model, or --unpriced")
    if model is None:
        _show_unpriced(target, org, (since, until), limit, as_json=as_json)
        return
    when = datetime.now(UTC) if on is None else moment(on, datetime.now(UTC), "--on")
    settings = target.settings(with_password=False)
    wanted = Wanted(model, provider or "", org or "", tier, region, when)
    for one in found(price_files.pricer(settings), wanted):
        if as_json:
            echo_json(json_line(one))
            continue
        above = "" if not one.above_input_tokens else f", above {one.above_input_tokens:,} input tokens"
        echo(
            f"{one.provider} {one.model}, {tier}{f', {region}' if region else ''}, {when:%Y-%m-%d %H:%M} UTC{above}"
        )
        echo(f"by {one.price_list} ({one.source})")
        tables.show(output.console(), tables.prices_columns(list(one.parts())))


def _show_unpriced(
    target: Target, org: str | None, span: tuple[str | None, str | None], limit: int, *, as_json: bool
) -> None:
    start, end = times(*span)
    without = ask(
        target, lambda reader: reader.get_unpriced(scope(org), limit=limit, start_date=start, end_date=end)
    )
    if not without:
        raise Nothing("no calls without a cost found")
    if as_json:
        for one in without:
            echo_json(json_line(one))
        return
    tables.show(output.console(), tables.unpriced_columns(without))


def found(pricer: Pricer, wanted: Wanted) -> list[Shown]:
    """Return the prices of a model. Raises Nothing with the reason if it has none."""
    reasons: dict[str, str] = {}
    shown: list[Shown] = []
    for provider in [wanted.provider] if wanted.provider else pricer.sellers():
        call = PricedCall(provider, wanted.model, "", microseconds(wanted.on), wanted.organization)
        quote = pricer.quote(call, wanted.tier, wanted.region)
        if quote.reason:
            reasons.setdefault(quote.reason, provider)
        shown += _shown(quote, provider, wanted)
    if not shown:
        # Of many providers that do not sell it, the one that does and has no price says more.
        reason = next(
            (one for one in reasons if one not in ("no_price", "own_model")), next(iter(reasons), "")
        )
        of = reasons.get(reason, wanted.provider)
        meaning = REASONS.get(reason, REASONS[f"{NO_PRICE_FOR_PART}<part>"])
        raise Nothing(f"{of} {wanted.model}: {reason}: {meaning}" if reason != "no_price" else
                      f"{wanted.provider} {wanted.model}: {reason}: {meaning}".strip())  # fmt: skip
    return shown


def _shown(quote: Quote, provider: str, wanted: Wanted) -> Iterator[Shown]:
    """Yield the prices of each range of input tokens."""
    fixed = Shown(
        provider=provider,
        model=wanted.model,
        on=wanted.on,
        price_list=quote.price_list,
        source=quote.source,
        per_call=_dollars(quote.per_call),
        per_second=_dollars(quote.per_second),
    )
    if quote.sheet is None:
        if quote.per_call is not None or quote.per_second is not None:
            yield fixed
        return
    for above, rates in zip((None, *quote.sheet.thresholds), quote.sheet.rates, strict=True):
        yield msgspec.structs.replace(
            fixed,
            above_input_tokens=above,
            per_million_tokens=_per_million(rates),
            per_unit={part: _plain(amount.scaleb(-18)) for part, amount in rates.units.items()},
            per_call=_dollars(rates.request) if rates.request else fixed.per_call,
        )


def _per_million(rates: Rates) -> dict[str, Decimal]:
    by_part = {part: getattr(rates, part) for part in TOKEN_PARTS}
    return {part: _plain(Decimal(rate).scaleb(-12)) for part, rate in by_part.items() if rate is not None}


def _dollars(atto: int | None) -> Decimal | None:
    return None if atto is None else _plain(Decimal(atto).scaleb(-18))


def _plain(amount: Decimal) -> Decimal:
    """Return the amount without zeros at its end, and without an exponent."""
    short = amount.normalize()
    return short.quantize(Decimal(1)) if short == short.to_integral_value() else short
