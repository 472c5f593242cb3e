"""Markup in whatever is recorded runs in the browser of whoever looks at it.

Each payload stands in every text of a call, and in the texts of its conversation; each page is opened in
Chromium. Through is whatever calls the canary, opens a dialog, raises, or asks anybody but the page.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from urllib.parse import quote, urlencode, urlsplit

from playwright.sync_api import BrowserContext, Dialog, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.engine import running_engine
from tests.helpers.page import RunningPage, running_page
from tests.helpers.store_rows import add_traces
from tests.security.attack import Attack

RUN = "fetch('http://127.0.0.1:9/canary');canary('{n}')"
"""What a payload does where it runs; ``{n}`` is its number."""

PAYLOADS = [
    "<script>{run}</script>", "</script><script>{run}</script>", "<ScRiPt>{run}</sCrIpT>", "<script src=http://127.0.0.1:9/x.js></script>",
    "<img src=x onerror=\"{run}\">", "<img src=http://127.0.0.1:9/pixel>", "<img/src=x/onerror={run}>", "<svg onload=\"{run}\">",
    "<svg><script>{run}</script></svg>", "<svg><animate onbegin=\"{run}\" attributeName=x dur=1s>", "<svg><a xlink:href=\"javascript:{run}\"><text x=20 y=20>x</text></a></svg>",
    "<svg><use href=\"data:image/svg+xml;base64,PHN2Zz4=#x\"></svg>", "<svg><foreignObject><iframe srcdoc=\"<script>parent.{run}</script>\"></foreignObject></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=\"{run}\">", "<math href=\"javascript:{run}\">x</math>", "<iframe src=\"javascript:parent.{run}\"></iframe>",
    "<iframe srcdoc=\"<script>parent.{run}</script>\"></iframe>", "<object data=\"javascript:{run}\"></object>", "<embed src=\"javascript:{run}\">", "<a href=\"javascript:{run}\">x</a>",
    "<a href=\" &#106;avascript:{run}\">x</a>", "<form action=\"javascript:{run}\"><button>x</button></form>", "<button formaction=\"javascript:{run}\">x</button>",
    "<input autofocus onfocus=\"{run}\">", "<select autofocus onfocus=\"{run}\">", "<textarea autofocus onfocus=\"{run}\">", "<details open ontoggle=\"{run}\">",
    "<video src=x onerror=\"{run}\"></video>", "<video><source onerror=\"{run}\"></video>", "<audio src=x onerror=\"{run}\"></audio>", "<body onload=\"{run}\">",
    "<body onpageshow=\"{run}\">", "<marquee onstart=\"{run}\">", "<style>@import 'http://127.0.0.1:9/x.css';</style>", "<style>*{{background:url(http://127.0.0.1:9/x)}}</style>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css>", "<link rel=preload as=image href=http://127.0.0.1:9/x>", "<meta http-equiv=refresh content=\"0;url=http://127.0.0.1:9/\">",
    "<base href=\"http://127.0.0.1:9/\">", "<template><script>{run}</script></template>", "<noscript><p title=\"</noscript><img src=x onerror={run}>\">",
    "<xmp><p title=\"</xmp><img src=x onerror={run}>\">", "<!--><script>{run}</script>-->", "<![CDATA[<script>{run}</script>]]>", "<?xml version=1?><script>{run}</script>",
    "\" onmouseover=\"{run}\" x=\"", "' onmouseover='{run}' x='", "\"><img src=x onerror=\"{run}\">", "'><img src=x onerror='{run}'>", "\" autofocus onfocus=\"{run}", "`><img src=x onerror=`{run}`>",
    "javascript:{run}", "data:text/html,<script>{run}</script>", "{{{{constructor.constructor('{run}')()}}}}", "{{{{$on.constructor('{run}')()}}}}", "${{{run}}}", "#{{{run}}}", "<%= {run} %>",
    "<div v-html=\"'<img src=x onerror={run}>'\"></div>", "<div :x=\"{run}\"></div>", "<div @click=\"{run}\" v-on:mouseenter=\"{run}\"></div>", "<component :is=\"'script'\">{run}</component>",
    "&lt;script&gt;{run}&lt;/script&gt;", "&#60;script&#62;{run}&#60;/script&#62;", "\\u003cscript\\u003e{run}\\u003c/script\\u003e", "%3Cscript%3E{run}%3C/script%3E",
    "\ufeff<script>{run}</script>", "<\u200bscript>{run}</script>", "\uff1cscript\uff1e{run}\uff1c/script\uff1e", "<scr\x00ipt>{run}</scr\x00ipt>", "<img src=x\x0conerror=\"{run}\">", "\u2028<script>{run}</script>",
    "+ADw-script+AD4-{run}+ADw-/script+AD4-", "[x](javascript:{run})", "![x](http://127.0.0.1:9/x)", "<custom-element onclick=\"{run}\" is=x>", "<dialog open onclose=\"{run}\"><form method=dialog><button autofocus>x",
    "<p id=main><form id=main><input name=attributes>", "<a id=socket><a id=socket name=emit>", "<img name=getElementById>", "</div></main></body><script>{run}</script>", "__proto__", "');{run};//", "\");{run};//", "\\\");{run};//",
]  # fmt: skip
TEXTS = (
    "id", "project_id", "agent_id", "run_id", "step_id", "trace_id", "user_id", "service", "call_type", "provider", "model",
    "finish_reason", "error_type", "error_message", "billing_plan_type", "billing_customer_id", "url", "span_id",
    "request_model", "provider_request_id", "service_tier", "outcome", "usage_source", "payload_uri",
)  # fmt: skip
DONE = "document.querySelector('#main') && !document.querySelector('#main .waiting')"
UNESCAPED = "from llmledgerd.ui import markup; markup._environment().autoescape = False; "
CANARY = "window.canaries = []; window.canary = (n) => window.canaries.push(n);"


def run(attack: Attack) -> None:
    path = shutil.which("chromium")
    if path is None:
        attack.skipped = "there is no chromium on the PATH"
        return
    engine = attack.ends.enter_context(running_engine(attack.folder / "data"))
    payloads = [form.format(run=RUN.replace("{n}", str(number))) for number, form in enumerate(PAYLOADS)]
    store = Store(engine.url)
    migrations.apply(store, migrations.Layout(ttl_days=0))
    add_traces(store, [_call(number, payload) for number, payload in enumerate(payloads)])
    _add_losses(store, payloads)
    store.close()
    page = attack.ends.enter_context(running_page(engine.url, refresh=60.0))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        with browser.new_context() as context:
            context.set_default_timeout(30_000)
            _look(attack, page, context, payloads)
        bare = attack.ends.enter_context(running_page(engine.url, refresh=60.0, before=UNESCAPED))
        with browser.new_context() as context, attack.control("escaping"):
            _look_at_calls(attack, bare, *_watched(context, bare), payloads[4:8], first=4)
        browser.close()


def _look(attack: Attack, page: RunningPage, context: BrowserContext, payloads: list[str]) -> None:
    tab, seen = _watched(context, page)
    _look_at_calls(attack, page, tab, seen, payloads)
    every = [
        "/",
        "/calls",
        "/health",
        *(f"/?split={name}" for name in ("agent", "user", "service", "customer", "provider")),
    ]
    for place in every:
        _opened(attack, tab, seen, f"{page.base}{place}", place)
    for number in (0, 4, 19):  # an address is written by whoever sends a link, too
        for name in ("run", "cursor", "agent", "split", "from", "without", "outcome", payloads[number]):
            _opened(
                attack,
                tab,
                seen,
                f"{page.base}/calls?{quote(name)}={quote(payloads[number])}",
                f"address {name}",
            )
        answer = tab.request.get(
            f"{page.base}/payload/request?{urlencode({'id': f'{number}{payloads[number]}'})}"
        )
        kind = answer.headers.get("content-type", "")
        attack.tried(
            "the payload is shown as a page",
            through="html" in kind or "attachment" not in str(answer.headers),
        )


def _look_at_calls(
    attack: Attack, page: RunningPage, tab: Page, seen: list[str], payloads: list[str], first: int = 0
) -> None:
    tab.goto(page.link)
    for number, payload in enumerate(payloads, first):
        address = f"/call?{urlencode({'id': f'{number}{payload}'})}"
        _opened(attack, tab, seen, f"{page.base}{address}", f"/call {payload}")


def _watched(context: BrowserContext, page: RunningPage) -> tuple[Page, list[str]]:
    """Return a tab, and what happens in it that should not."""
    seen: list[str] = []
    context.add_init_script(CANARY)
    tab = context.new_page()

    def refuse(dialog: Dialog) -> None:
        seen.append("dialog")
        dialog.dismiss()

    tab.on("dialog", refuse)
    tab.on("pageerror", lambda error: seen.append(f"error {error}"))
    tab.on("popup", lambda popup: seen.append(f"popup {popup.url}"))

    def note(url: str) -> None:
        if urlsplit(url).netloc not in ("", page.host):
            seen.append(f"asked {url}")

    tab.on("request", lambda request: note(request.url))
    tab.on("websocket", lambda socket: note(socket.url))
    return tab, seen


def _opened(attack: Attack, tab: Page, seen: list[str], address: str, what: str) -> None:
    seen.clear()
    tab.goto(address)
    with contextlib.suppress(PlaywrightTimeout):  # what it has shown by then is looked at all the same
        tab.wait_for_function(DONE, timeout=10_000)
    for kind in ("mouseover", "click"):
        tab.evaluate(
            "(kind) => document.querySelectorAll('#main *').forEach((e) => !e.closest('a, button, form')"
            " && e.dispatchEvent(new MouseEvent(kind, {bubbles: false})))", kind,
        )  # fmt: skip
    ran = tab.evaluate("window.canaries")
    links = tab.evaluate("[...document.querySelectorAll('#main [href], #main [src], #main [action]')].map((e) =>"
                         " new URL(e.getAttribute('href') || e.getAttribute('src') || e.getAttribute('action'), document.baseURI)).filter((u) => u.origin !== location.origin && u.protocol !== 'data:').map(String)")  # fmt: skip
    attack.tried(f"{what}: {[*seen, *ran, *links]}", through=bool(seen or ran or links))


def _call(number: int, payload: str) -> dict[str, object]:
    block = {"type": "text", "text": payload}
    request = {"model": payload, "messages": [
        {"role": payload, "content": payload}, {"role": "user", "content": [block, {"type": payload, payload: payload}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": payload, "arguments": payload}}]}, {"role": "tool", "content": payload},
    ]}  # fmt: skip
    response = {
        "error": {"message": payload},
        "choices": [{"message": {"role": "assistant", "content": payload, "reasoning_content": payload}}],
    }
    texts = dict.fromkeys(TEXTS, payload)
    return {
        **texts, "id": f"{number}{payload}", "organization_id": payload, "agent_tags": [payload, payload], "is_error": number % 2,
        "outcome": payload if number % 3 else "error", "payload_uri": "", "run_id": "one run", "total_tokens": 5,
        "request_json": json.dumps(request).encode(), "response_json": json.dumps(response).encode(),
        "llm_config_json": payload.encode(), "usage_json": json.dumps({payload: payload}).encode(),
        "request_size_bytes": 9, "response_size_bytes": 9, "created_at": time.time_ns() // 1000 - number * 1_000_000,
    }  # fmt: skip


def _add_losses(store: Store, payloads: list[str]) -> None:
    now = time.time_ns() // 1000
    columns = ("at", "service", "stage", "reason", "count", "host", "session")
    rows = [(now, payload, payload, payload, 1, payload, payload) for payload in payloads]
    store.insert("llm_trace_losses", columns, rows, "losses")
