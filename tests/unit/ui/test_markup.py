"""What was recorded is text, wherever it stands in a template."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from llmledgerd.query.conversation import Exchange, Part, Turn
from llmledgerd.ui import details, shell, timeline, view
from llmledgerd.ui.call import KINDS, ROLES
from llmledgerd.ui.markup import render
from llmledgerd.ui.queries import RunKey
from llmledgerd.ui.view import View
from tests.helpers.answers import call, run

EVIL = "\"'><script>x</script><img src=x onerror=x>&amp;"
SAID = Turn(EVIL, [Part(kind, EVIL) for kind in ("text", "thinking", "call", "result", "other")])
KEY = RunKey(EVIL, EVIL)
RUN = run(
    id=EVIL,
    organization_id=EVIL,
    agents=[EVIL],
    models=[EVIL, EVIL],
    errors=1,
    cost_usd=Decimal(1),
    unknown_cost=1,
)
TEMPLATES = sorted((Path(shell.__file__).parent / "templates").glob("*.html"))


def test_no_template_lets_anything_through_unescaped() -> None:
    assert TEMPLATES
    for template in TEMPLATES:
        text = template.read_text()
        assert not any(word in text for word in ("safe", "autoescape", "Markup")), template


@pytest.mark.parametrize(
    "html",
    [
        render("trouble.html", said=EVIL),
        render(
            "nothing.html",
            title=EVIL,
            text=EVIL,
            links=[(view.write("/", View(narrowed={"run": EVIL})), EVIL)],
        ),
        render("legend.html", series=[(EVIL, "var(--c1)")]),
        render("suggestions.html", suggestions={"model": [EVIL]}),
        render(
            "calls.html",
            calls=[
                call(id=EVIL, model=EVIL, agent_id=EVIL, organization_id=EVIL, error_type=EVIL, is_error=True)
            ],
            older=None,
            newest=None,
            every=True,
            call_address=details.address,
        ),
        render(
            "conversation.html",
            exchange=Exchange([SAID], [SAID]),
            earlier=100,
            roles=ROLES,
            kinds=KINDS,
            fold=9999,
            shown=9999,
        ),
        render(
            "run.html", run=RUN, tiles=timeline.tiles(RUN), calls=timeline.address(EVIL, EVIL), every=True
        ),
        render(
            "place.html", run=RUN, key=KEY, here=1, before="", after="", address=timeline.address(EVIL, EVIL)
        ),
        render(
            "runs.html",
            runs=[RUN],
            older=None,
            newest=None,
            every=True,
            address=timeline.address,
            names=timeline.names,
            waiting_share=timeline.waiting_share,
        ),
        render("payloads.html", facts=[(EVIL, EVIL)], payloads=[]),
    ],
)
def test_recorded_text_never_becomes_markup(html: str) -> None:
    assert "<script" not in html
    assert "<img" not in html
    assert "script" in html
