"""The SQL that recomputes usage knows every usage object that a provider's module declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmledgerd.usage.api import UsageShape
from llmledgerd.usage.providers import APIS

VIEW = (Path(__file__).resolve().parents[3] / "ddl" / "0003_llm_traces_recomputed.sql").read_text()
SHAPES = [shape for api in APIS for shape in api.usage]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.rule.__module__.rpartition(".")[2])
def test_the_view_names_the_members_of_every_usage_object(shape: UsageShape) -> None:
    missing = {name for name in shape.any_of | shape.and_any_of if f"'{name}'" not in VIEW}
    assert not missing, f"ddl/0003_llm_traces_recomputed.sql lacks {missing}"
