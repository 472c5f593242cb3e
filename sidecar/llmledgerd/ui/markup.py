"""Figures as HTML, from the templates beside this module.

Invariants:
- Every value is escaped by the engine of the templates; none of them says ``safe``, and no text that was
  recorded becomes an address but as a parameter.
- Addresses are relative: the pages lie side by side below a path that is another each time.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from llmledgerd.ui import formatting

ADDRESS = re.compile(r'\b(href|action)="/')
"""An attribute of a template's own: quotes of values are escaped."""


def render(template: str, **values: Any) -> str:
    """Return a template's HTML."""
    html = _environment().get_template(template).render(**values)
    return ADDRESS.sub(r'\1="./', html)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("llmledgerd.ui"),
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
