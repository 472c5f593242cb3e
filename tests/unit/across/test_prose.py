"""Prose in the code uses the field's terms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NAMES = """
admin cli daemon delivery ingest payloads query records redaction spool system telemetry ui usage
"""
PACKAGES = [ROOT / "sidecar" / "llmledgerd" / name for name in NAMES.split()] + [
    ROOT / "client" / "llmledger"
]
AVOIDED = re.compile(
    r"\b(whoever|of whom|is told|are none|likewise|goes by|condemn\w*|patience|bury|buried)\b|\bclose_door\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_docstrings_and_comments_avoid_private_idioms(package: Path) -> None:
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in sorted(package.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if AVOIDED.search(line)
    ]
    assert found == []
