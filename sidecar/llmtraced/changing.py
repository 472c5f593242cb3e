"""``llmtrace`` commands that change rows: for operators, against the store itself.

Invariant: what was done is said in numbers, and every command can be run again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from llmtraced import config
from llmtraced.cost import Pricer
from llmtraced.reprice import Repriced
from llmtraced.reprice import reprice as compute_again
from llmtraced.store import Store

Url = Annotated[
    str | None, typer.Option(help="ClickHouse URL; else LLMTRACE_CLICKHOUSE_URL.", show_default=False)
]


def reprice(
    start: Annotated[datetime, typer.Option("--from", help="Calls that started then or later, UTC.")],
    end: Annotated[datetime, typer.Option("--to", help="And before then.")],
    url: Url = None,
) -> None:
    """Compute the cost of stored calls again, after the price list or a rule has changed.

    Costs that a provider reported stay. The usage of the hours touched is read from the rows until
    a daemon has rebuilt their rollup.
    """

    def say(done: Repriced) -> None:
        typer.echo(f"{done.looked_at:,} looked at", err=True)

    store = Store(url or config.load()[0].clickhouse_url)
    done = compute_again(store, Pricer(), _microseconds(start), _microseconds(end), say)
    store.close()
    typer.echo(
        f"{done.looked_at:,} calls looked at, {done.changed:,} costs changed, {done.unknown:,} without a price"
    )


def _microseconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 1_000_000
