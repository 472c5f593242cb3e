"""README's quickstart works as it stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import llmledger
from tests.packaging import first_hour

README = (first_hour.ROOT / "README.md").read_text()


def test_the_quickstart_names_the_wheels_of_this_version() -> None:
    text = "".join(first_hour.blocks(README))

    assert f"llmledger-{llmledger.__version__}-py3-none-any.whl" in text
    assert f"llmledgerd-{llmledger.__version__}-py3-none-any.whl" in text


def test_the_quickstart_begins_with_the_install_and_every_block_is_run() -> None:
    found = first_hour.blocks(README)

    assert "pip wheel" in found[0]
    assert all(
        any(command in block for block in found) for command in ("serve", "flush", "traces", "llmledger ui")
    )


@pytest.mark.slow
def test_a_newcomer_who_follows_the_quickstart_sees_the_first_row(tmp_path: Path) -> None:
    said = first_hour.play(sys.executable, tmp_path)

    assert "on the daemon's disk: True" in said
    assert "gpt-4o" in said.partition("llmledger traces")[2]
    assert "open http://" in said
