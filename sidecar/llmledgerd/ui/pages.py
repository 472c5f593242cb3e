"""Routes of the page.

Invariant: with a scope of one organization, no route shows other data.
"""

from __future__ import annotations

import msgspec
from fastapi import FastAPI, Request, Response
from nicegui import ui

from llmledgerd.errors import LlmledgerdError
from llmledgerd.ui import details, spans, timeline
from llmledgerd.ui.cache import CachePage
from llmledgerd.ui.call import CallPage
from llmledgerd.ui.health import HealthPage
from llmledgerd.ui.lists import calls_page, runs_page
from llmledgerd.ui.overview import OverviewPage
from llmledgerd.ui.queries import PageQueries, RunKey
from llmledgerd.ui.run import RunPage
from llmledgerd.ui.shell import Site
from llmledgerd.ui.tools import ToolsPage
from llmledgerd.ui.view import read


def add_pages(site: Site) -> None:
    """Add the pages. NiceGUI keeps them for the process."""

    @ui.page("/", title="llmledger")
    def overview(request: Request) -> None:
        OverviewPage(read(request.query_params.multi_items()), site)

    @ui.page("/calls", title="Calls - llmledger")
    def calls(request: Request) -> None:
        calls_page(read(request.query_params.multi_items()), site)

    @ui.page("/tools", title="Tools - llmledger")
    def tools(request: Request) -> None:
        ToolsPage(read(request.query_params.multi_items()), site)

    @ui.page("/cache", title="Cache - llmledger")
    def cache(request: Request) -> None:
        CachePage(read(request.query_params.multi_items()), site)

    @ui.page("/runs", title="Runs - llmledger")
    def runs(request: Request) -> None:
        runs_page(read(request.query_params.multi_items()), site)

    @ui.page("/run", title="Run - llmledger")
    def run(id: str = "", organization: str | None = None, at: str = "") -> None:  # noqa: A002 - as below
        RunPage(RunKey(id, organization, spans.moment(at)), site)

    @ui.page("/call", title="Call - llmledger")
    def call(id: str = "") -> None:  # noqa: A002 - the parameter's name in addresses
        CallPage(id, site)

    if site.queries.only is None:

        @ui.page("/health", title="Health - llmledger")
        def health() -> None:
            HealthPage(site)


def add_steps(app: FastAPI, queries: PageQueries) -> None:
    """Add the rows of a run's timeline, for the script."""

    @app.get("/run/steps")
    async def steps(
        id: str,  # noqa: A002 - the parameter's name in addresses
        organization: str | None = None,
        at: str = "",
        first: int = 1,
        limit: int = timeline.ROWS,
    ) -> Response:
        key = RunKey(id, organization, spans.moment(at))
        try:
            found = await queries.run(key, first=first, limit=min(limit, timeline.ROWS))
        except (LlmledgerdError, ValueError) as error:
            return Response(f"{error}\n", 503, media_type="text/plain")
        if found is None:
            return Response("Not found.\n", 404, media_type="text/plain")
        body = msgspec.json.encode(timeline.rows(found))
        return Response(body, media_type="application/json")


def add_downloads(app: FastAPI, queries: PageQueries) -> None:
    """Add the downloads of payloads, as exact bytes."""

    @app.get("/payload/{name}")
    async def payload(name: str, id: str = "") -> Response:  # noqa: A002 - the parameter's name in addresses
        try:
            call = await queries.call(id)
        except (LlmledgerdError, ValueError) as error:
            return Response(f"{error}\n", 503, media_type="text/plain")
        if call is None or call.payloads is None or name not in details.PAYLOADS:
            return Response("Not found.\n", 404, media_type="text/plain")
        # An attachment, so that the browser never renders it: it may be untrusted HTML.
        headers = {"Content-Disposition": f'attachment; filename="{name}.json"'}
        body = details.payload(call.payloads, name)
        return Response(body, media_type="application/octet-stream", headers=headers)
