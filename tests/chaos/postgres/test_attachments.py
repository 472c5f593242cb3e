"""An attachment that somebody damages: it is not returned as whole, and one without content is stored again."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from llmledgerd.query.payloads import DAMAGED
from llmledgerd.reader import LLMTraceReader
from tests.chaos.postgres.books import balance
from tests.chaos.postgres.stage import restart, send
from tests.helpers.object_storage import Folder
from tests.helpers.two_stores import TwoStores

pytestmark = pytest.mark.chaos

IMAGE = b"\x89PNG" + bytes(range(256)) * 50
URL = f"data:image/png;base64,{base64.b64encode(IMAGE).decode()}"
REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}],
}


def missing(two: TwoStores, call: str) -> str:
    """Return what the reader says of a call's payloads."""

    async def ask() -> str:
        async with LLMTraceReader(f"unix:{two.daemon.folder / 'admin.sock'}") as reader:
            found = await reader.get_by_id("org-1", call, payloads=True, files=True)
        assert found is not None
        return found.payloads_missing

    return asyncio.run(ask())


@pytest.mark.parametrize("damage", [b"", IMAGE[:-1] + b"\0", b"another"], ids=["empty", "a bit", "another"])
def test_a_damaged_attachment_is_told_and_is_whole_again_where_its_size_says_so(
    two: TwoStores, storage: Folder, tmp_path: Path, damage: bytes
) -> None:
    restart(two, attachments="store")
    send(two, "a", 2, request=REQUEST)
    for store in ("postgres", "clickhouse"):
        two.settled(store, 2)
    (name,) = (name for name in storage.objects() if name.startswith("files/"))
    assert missing(two, "a-0") == ""

    (tmp_path / "objects" / name).write_bytes(damage)
    assert missing(two, "a-0") == DAMAGED

    send(two, "b", 1, request=REQUEST)
    for store in ("postgres", "clickhouse"):
        two.settled(store, 3)
    is_whole = storage.objects()[name] == IMAGE
    assert is_whole == (len(damage) != len(IMAGE))
    assert missing(two, "b-0") == ("" if is_whole else DAMAGED)
    balance(two, storage)
