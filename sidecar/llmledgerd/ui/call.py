"""Page of one call: its figures, the steps of its run, the conversation and the payloads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from llmledgerd.query import display
from llmledgerd.query.conversation import Turn, read_conversation
from llmledgerd.query.results import Call
from llmledgerd.ui import details, view
from llmledgerd.ui.details import FOLDED_CHARACTERS, SHOWN_CHARACTERS, Step
from llmledgerd.ui.formatting import UNKNOWN
from llmledgerd.ui.markup import render
from llmledgerd.ui.queries import Run
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
            self._run, self._conversation, self._payloads = Slot(), Slot(), Slot()

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
            turns=_turns(call),
            roles=ROLES,
            kinds=KINDS,
            fold=FOLDED_CHARACTERS,
            shown=SHOWN_CHARACTERS,
        )
        facts = [fact for fact in display.facts(call) if fact[1] not in ("", UNKNOWN)]
        self._payloads.show("payloads.html", facts=facts, payloads=details.payloads(call))
        if call.run_id:
            self._show_run(call, await self._queries.run(call))

    def _show_run(self, call: Call, run: Run) -> None:
        place, steps = run.place(call), details.steps(run.calls, run.older_calls, run.older_cost)
        self._run.show(
            "run.html",
            run=call.run_id,
            steps=details.around(steps, place),
            count=run.older_calls + len(steps),
            here=None if place is None else steps[place].number,
            total=steps[-1].so_far if steps else None,
            lasted=details.lasted_ms(run.calls),
            run_address=view.write("/calls", View(span="1y", narrowed={"run": call.run_id})),
            before=_beside(steps, place, -1),
            after=_beside(steps, place, 1),
            call_address=details.address,
        )


def _beside(steps: Sequence[Step], place: int | None, distance: int) -> str:
    """Return the URL of the step before or after a place; empty if there is none."""
    at = -1 if place is None else place + distance
    return details.address(steps[at].call.id) if 0 <= at < len(steps) else ""


def _turns(call: Call) -> list[Turn]:
    if call.payloads is None:
        return []
    return read_conversation(call.payloads.request_json, call.payloads.response_json)
