"""``llmledger trace``: one call, with its conversation or its payloads."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llmledgerd.cli import asking, output, prompt_tables
from llmledgerd.cli.asking import Org
from llmledgerd.cli.calls import find_call, json_call
from llmledgerd.cli.messages import Nothing, echo, echo_json
from llmledgerd.cli.target import Target, with_target
from llmledgerd.errors import LlmledgerdError
from llmledgerd.printable import clean_json
from llmledgerd.query.conversation import read_conversation
from llmledgerd.query.results import Call


@with_target
def trace(
    id: Annotated[str, typer.Argument(help="ID of the call, or the beginning of it.")],  # noqa: A002 - the word that users read in the help
    org: Org = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print request and response as received, one per line.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object, with request and response.")
    ] = False,
    *,
    target: Target,
) -> None:
    """Show one call: figures and conversation."""
    call = asking.ask(target, lambda reader: find_call(reader, asking.scope(org), id, files=raw))
    if call is None or call.payloads is None:
        raise Nothing(f"there is no call {id}")
    if as_json:
        echo_json(json_call(call))
        return
    if raw:
        if call.payloads_missing:
            raise Nothing(f"no payloads: {call.payloads_missing}")
        _write_raw(call.payloads.request_json + b"\n" + call.payloads.response_json + b"\n")
        return
    console = output.console()
    console.print(output.call_numbers(call))
    _show_miss(call, target)
    turns = read_conversation(call.payloads.request_json, call.payloads.response_json)
    console.print(output.conversation(turns))


def _show_miss(call: Call, target: Target) -> None:
    """Print what the call did not read from the cache; nothing where it missed nothing, or the store cannot say."""
    try:
        found = asking.ask(target, lambda reader: reader.list_cache_misses(call.organization_id, id=call.id))
    except (LlmledgerdError, ValueError):  # the call itself is what was asked for
        return
    for miss in found:
        echo(prompt_tables.miss_line(miss))


def _write_raw(payloads: bytes) -> None:
    """Write payloads unchanged; to a terminal, as equivalent JSON without control characters."""
    if sys.stdout.isatty():
        payloads = clean_json(payloads.decode(errors="replace")).encode()
    sys.stdout.buffer.write(payloads)
