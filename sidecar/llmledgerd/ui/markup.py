"""HTML rendering of the templates beside this module.

Invariants:
- The template engine escapes every value; no template uses ``safe``, and recorded text appears in URLs
  only as a parameter.
- URLs are relative: all pages are below a path that differs on each start.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from llmledgerd.ui import formatting

ADDRESS = re.compile(r'\b(href|action)="/')
"""A link attribute of a template; values cannot contain one, because their quotes are escaped."""


def render(template: str, **values: Any) -> str:
    """Return the HTML of a template."""
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
        formatting.rate,
        formatting.clock,
    ):
        found.filters[shown.__name__] = shown
    return found
