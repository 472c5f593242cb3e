"""Calls as commands take and show them: found by a short id, as JSON, sums in the order of time.

Invariant: the beginning of an id is taken for an id only if one call alone has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from llmledgerd.cli.fitting import short_ids
from llmledgerd.cli.text_cells import json_line
from llmledgerd.printable import one_line
from llmledgerd.query.results import Call, Usage
from llmledgerd.reader import LLMTraceReader, Scope

TIMES: Final = ("day", "hour", "minute")
NAMED: Final = 5
"""Ids that the text of an ambiguous one lists."""


async def find_call(reader: LLMTraceReader, scope: Scope, given: str, *, files: bool) -> Call | None:
    """Return the call of an id, or of the beginning of an id, with its payloads; None if there is none.

    Raises ValueError if several calls have that beginning.
    """
    found = await reader.get_by_id(scope, given, payloads=True, files=files)
    start = given.removeprefix("provider_trace-")
    if found is not None or not start:
        return found
    try:
        page = await reader.list_calls(scope, id_prefix=start, limit=100)
    except ValueError:  # PostgreSQL, which has no lists
        return None
    whole = chosen(start, {call.id for call in page.calls}, "call")
    return None if whole is None else await reader.get_by_id(scope, whole, payloads=True, files=files)


def chosen(start: str, ids: Iterable[str], what: str) -> str | None:
    """Return the one id that is ``start`` or begins with it; None if there is none.

    Raises ValueError, which names them, if there are several.
    """
    found = sorted({one for one in ids if one.startswith(start)})
    if start in found or len(found) == 1:
        return start if start in found else found[0]
    if not found:
        return None
    more = ", …" if len(found) > NAMED else ""
    named = ", ".join(map(one_line, short_ids(found)[:NAMED]))
    raise ValueError(f"several {what}s begin with {start}: {named}{more}; give more of the id")


def in_time_order(usages: Sequence[Usage], group_by: Sequence[str]) -> list[Usage]:
    """Return sums in the order of their times where they are split by time, else as they are."""
    times = [name for name in group_by if name in TIMES]
    return sorted(usages, key=lambda usage: [usage.group[name] for name in times])


def json_call(call: Call) -> str:
    """Return one call as JSON: its columns, and ``request``, ``response`` and ``llm_config`` as they were sent.

    A payload that is no JSON is text; one that was not stored is null.
    """
    facts: dict[str, Any] = {
        name: getattr(call, name) for name in Call.__struct_fields__ if name != "payloads"
    }
    if call.payloads is not None:
        facts["request"] = _payload(call.payloads.request_json)
        facts["response"] = _payload(call.payloads.response_json)
        facts["llm_config"] = _payload(call.payloads.llm_config_json)
        facts["usage"] = _payload(call.payloads.usage_json)
    return json_line(facts)


def _payload(body: bytes) -> object:
    """Return bytes that are JSON as they are, without line breaks, so that no number changes."""
    if not body:
        return None
    try:
        text = body.decode()
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
    return msgspec.Raw(text.replace("\n", " ").replace("\r", " ").encode())


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")
