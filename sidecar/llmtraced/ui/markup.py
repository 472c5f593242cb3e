"""Figures as HTML, from the templates beside this module.

Invariant: every value is escaped by the engine of the templates; none of them says ``safe``, and no
text that was recorded becomes an address but as a parameter.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from llmtraced.ui import formatting


def render(template: str, **values: Any) -> str:
    """Return a template's HTML."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("llmtraced.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for shown in (
        formatting.whole,
        formatting.short,
        formatting.size,
        formatting.usd,
        formatting.exact_usd,
        formatting.milliseconds,
        formatting.clock,
    ):
        found.filters[shown.__name__] = shown
    return found
