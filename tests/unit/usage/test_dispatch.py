"""One module reads each usage object and each stream, and the SQL view chooses as Python does."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

from llmledgerd.usage import providers
from llmledgerd.usage.api import Api
from llmledgerd.usage.dispatch import USAGE_SHAPES

VIEW = Path(__file__).resolve().parents[3] / "ddl" / "0003_llm_traces_recomputed.sql"


def test_every_module_of_a_provider_is_listed() -> None:
    names = {found.name for found in pkgutil.iter_modules(providers.__path__)}
    listed = {name for name in names if isinstance(getattr(getattr(providers, name, None), "API", None), Api)}
    assert listed == names
    assert all(getattr(providers, name).API in providers.APIS for name in names)


def test_the_sql_view_tells_the_shapes_by_the_same_names_in_the_same_order() -> None:
    found = re.findall(r"has(?:Any)?\(names, (\[[^]]*\]|'[^']*')\)", VIEW.read_text())
    in_sql = [frozenset(re.findall(r"'([^']+)'", names)) for names in found]
    in_python = []
    for shape in USAGE_SHAPES:
        if shape.any_of not in in_python:  # two shapes share OpenAI's and Anthropic's pair of names
            in_python.append(shape.any_of)
        if shape.and_any_of:
            in_python.append(shape.and_any_of)
    assert in_sql == in_python


def test_no_host_is_listed_twice() -> None:
    hosts = [host for api in providers.APIS for host, _ in api.hosts]
    assert len(hosts) == len(set(hosts))
