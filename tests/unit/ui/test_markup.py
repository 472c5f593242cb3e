"""What was recorded is text, wherever it stands in a template."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmledgerd.query.conversation import Part, Turn
from llmledgerd.ui import details, shell, view
from llmledgerd.ui.call import KINDS, ROLES
from llmledgerd.ui.markup import render
from llmledgerd.ui.view import View
from tests.helpers.answers import call

EVIL = "\"'><script>x</script><img src=x onerror=x>&amp;"
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
            turns=[
                Turn(EVIL, [Part(kind, EVIL) for kind in ("text", "thinking", "call", "result", "other")])
            ],
            roles=ROLES,
            kinds=KINDS,
            fold=9999,
            shown=9999,
        ),
        render("payloads.html", facts=[(EVIL, EVIL)], payloads=[]),
    ],
)
def test_recorded_text_never_becomes_markup(html: str) -> None:
    assert "<script" not in html
    assert "<img" not in html
    assert "script" in html
