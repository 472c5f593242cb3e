"""Page of one call: its figures, its place in its run, what was new in it, and the payloads."""

from __future__ import annotations

from datetime import datetime

from llmledgerd.query import display
from llmledgerd.query.conversation import Exchange, read_exchange
from llmledgerd.query.results import Call, RunSteps
from llmledgerd.ui import details, prompts, timeline
from llmledgerd.ui.details import EARLIER_MESSAGES, FOLDED_CHARACTERS, SHOWN_CHARACTERS
from llmledgerd.ui.formatting import UNKNOWN
from llmledgerd.ui.markup import render
from llmledgerd.ui.queries import RunKey
from llmledgerd.ui.shell import Frame, PageQuery, Site, Slot, content
from llmledgerd.ui.view import View

ROLES = {name: name for name in ("system", "user", "assistant", "tool", "error")}
KINDS = {"thinking": "Thinking", "call": "Tool call", "result": "Tool result"}


class CallPage:
    """Built for one browser and queried once: a stored row does not change."""

    def __init__(self, id: str, site: Site) -> None:  # noqa: A002 - the column's name
        self._id, self._queries = id, site.queries
        Frame("/call", View(), site.queries.only, controls=False)
        with content():
            self._asked = PageQuery(self._ask, site.refresh_seconds, live=False)
            self._head = Slot(render("waiting.html"))
            self._miss, self._run, self._prompt = Slot(), Slot(), Slot()
            self._conversation, self._payloads = Slot(), Slot()

    async def _ask(self, now: datetime) -> None:
        call = await self._queries.call(self._id)
        if call is None:
            text = f"There is no call with the id {self._id}, or it has expired."
            self._head.show(
                "nothing.html", title="Call not found", text=text, links=[("/calls", "All calls")]
            )
            return
        self._head.show("call.html", call=call, tiles=details.tiles(call))
        self._conversation.show(
            "conversation.html",
            exchange=_exchange(call),
            roles=ROLES,
            kinds=KINDS,
            fold=FOLDED_CHARACTERS,
            shown=SHOWN_CHARACTERS,
            earlier=EARLIER_MESSAGES,
        )
        facts = [fact for fact in display.facts(call) if fact[1] not in ("", UNKNOWN)]
        self._payloads.show("payloads.html", facts=facts, payloads=details.payloads(call))
        misses, found = await self._queries.prompt(call)
        for miss in misses:
            self._miss.show("miss.html", miss=miss, address=details.address)
        bars = prompts.bars(found, ["this call"] * len(found), [""] * len(found))
        if bars and bars[0].pieces:
            self._prompt.show("anatomy.html", **prompts.picture(bars, "The prompt", "Tokens by kind"))
        key = RunKey(timeline.key(call), call.organization_id, call.created_at)
        if key.id:
            self._show_run(call, key, await self._queries.run(key, around=call.id, limit=3))

    def _show_run(self, call: Call, key: RunKey, found: RunSteps | None) -> None:
        """Show where the call is in its run; the script fills in the steps around it."""
        if found is None:
            return
        beside = {step.number: details.address(step.id) for step in found.steps}
        here = found.here
        self._run.show(
            "place.html",
            run=found.run,
            key=key,
            here=here,
            before="" if here is None else beside.get(here - 1, ""),
            after="" if here is None else beside.get(here + 1, ""),
            address=timeline.address(key.id, call.organization_id, call.created_at),
        )


def _exchange(call: Call) -> Exchange:
    if call.payloads is None:
        return Exchange([], [])
    return read_exchange(call.payloads.request_json, call.payloads.response_json)
