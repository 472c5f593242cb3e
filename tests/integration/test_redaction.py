"""A thousand secrets, sent in every way there is, and looked for in every place there is (SPEC section 9)."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmledgerd.spool import format as fmt
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import openai_chat
from tests.helpers.secrets import SETS, planted
from tests.helpers.session import Session
from tests.helpers.waiting import until

SECRETS = 1000
LIMIT = 64 << 10
NOWHERE = "http://127.0.0.1:1/nowhere"
SETTINGS = {"redact": ",".join(SETS), "max_line_bytes": LIMIT, "orphan_grace_seconds": 0.2}


class Planter:
    """Sends secrets in turn in each of the ways, and remembers them."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.whole: list[str] = []
        self.split: list[str] = []
        """Parted by a stream's chunks, so that they are whole in the row alone."""
        self.halves: list[str] = []
        """Of tokens and keys, where half of one is enough to be known for one."""
        self._daemon = daemon
        self._dice = random.Random(1000)
        self._ways = (self.nested, self.streamed, self.parted, self.refused, self.no_json, self.too_long)

    def plant(self, count: int) -> None:
        lines = [self._ways[number % len(self._ways)](number) for number in range(count)]
        self._daemon.send_one_way(b"".join(lines[::2]))
        with Session(self._daemon.socket) as session:
            session.hello()
            session.send(lines[1::2])
            session.wait_durable(len(lines[1::2]))
            session.send([record(0, begin={"provider_trace_id": "begun", "tags": [self._secret()]})])
            session.wait_durable(len(lines[1::2]) + 1)

    def nested(self, number: int) -> bytes:
        arguments = json.dumps({"note": self._secret(), "more": [json.dumps({"deep": "\n"})]})
        tool = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
        return call(number, request={"model": "gpt-4o", "messages": [tool]})

    def streamed(self, number: int) -> bytes:
        return call(number, response=None, response_stream=stream("so: ", self._secret(), " it is"))

    def parted(self, number: int) -> bytes:
        secret, text = planted(self._dice)
        self.split.append(secret)
        at = text.index(secret) + len(secret) // 2
        if len(secret) > 30:
            self.halves += [secret[: len(secret) // 2], secret[len(secret) // 2 :]]
        return call(number, response=None, response_stream=stream("so: " + text[:at], text[at:]))

    def refused(self, number: int) -> bytes:
        return call(number, agent_id=17, error={"message": self._secret()})

    def no_json(self, number: int) -> bytes:
        return b'{"surely": not, "' + json.dumps(self._secret()).encode() + b"\n"

    def too_long(self, number: int) -> bytes:
        return call(number, tags=[self._secret()], request="x" * LIMIT)

    def _secret(self) -> str:
        secret, text = planted(self._dice)
        self.whole.append(secret)
        return text


def record(number: int, **fields: Any) -> bytes:
    return json.dumps({"protocol_version": 4, **fields}, ensure_ascii=number % 2 == 0).encode() + b"\n"


def call(number: int, **fields: Any) -> bytes:
    # What is planted comes first, since of a line over the limit only the head is kept.
    return record(
        number, **{"provider_trace_id": f"call-{number}", **fields, **without(openai_chat(number), fields)}
    )


def without(fields: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def stream(*texts: str) -> str:
    chunks: list[dict[str, Any]] = [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
        for text in texts
    ]
    usage = {"prompt_tokens": 4155552, "completion_tokens": 2, "total_tokens": 4155554}
    chunks.append({"object": "chat.completion.chunk", "choices": [], "usage": usage})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def spooled(folder: Path) -> Iterator[bytes]:
    """Yield all that the spool's segments hold, as it was before it was compressed."""
    for path in folder.glob("*.seg"):
        data = path.read_bytes()
        for frame in fmt.scan(fmt.marker_in(data), data):
            if isinstance(frame, fmt.Frame):
                yield frame.meta + bytes(fmt.body_of(frame))


def plain(data: bytes) -> str:
    """Return text without escapes, in which a secret would be read."""
    text = data.decode(errors="replace")
    while "\\\\" in text:
        text = text.replace("\\\\", "\\")
    return text.replace("\\n", "\n")


def seen(secrets: list[str], data: bytes) -> list[str]:
    text = plain(data)
    return [secret for secret in secrets if secret in text]


def settled(daemon: RunningDaemon) -> dict[str, Any] | None:
    status = admin.status(daemon.folder / "admin.sock")
    return status if not status["in_spool"] and not status["begun_calls"] else None


@pytest.mark.parametrize("payloads", ["inline", pytest.param("offload", marks=pytest.mark.slow)])
def test_of_a_thousand_secrets_none_is_stored_anywhere(tmp_path: Path, payloads: str) -> None:
    objects = tmp_path / "objects"
    settings = {**SETTINGS, "payloads": payloads, "payload_store": f"file://{objects}"}
    with RunningDaemon(tmp_path, url=NOWHERE, settings=settings) as daemon:
        planter = Planter(daemon)
        planter.plant(SECRETS - 1)
        whole = planter.whole
        assert len(whole) + len(planter.split) == SECRETS
        status = admin.status(daemon.folder / "admin.sock")
        daemon.kill()
        waiting = b"\n".join(spooled(daemon.spool))
        assert b"call-0" in waiting
        assert not seen(whole + planter.halves, waiting)

        daemon.url = f"chdb://{tmp_path}/clickhouse"
        daemon.start()
        until(lambda: settled(daemon))
        assert status["redacted"].keys() == {name.removesuffix("s") for name in SETS}
        assert daemon.terminate() == 0
        secrets = whole + planter.split
        for place in (daemon.spool.rglob("*"), [daemon.log_path]):
            for path in place:
                if path.is_file():
                    assert not seen(whole, path.read_bytes()), path

    store = Store(daemon.url)
    try:
        columns = [
            "request_json",
            "response_json",
            "llm_config_json",
            "compaction_settings_json",
            "usage_json",
        ]
        rows = store.query("SELECT * FROM llm_traces", raw=columns)
        lost = store.query("SELECT * FROM llm_trace_losses")
    finally:
        store.close()
    assert not seen(secrets + planter.halves, repr([*rows, *lost]).encode())
    packed = b"\n".join(gzip.decompress(path.read_bytes()) for path in objects.rglob("*.json.gz"))
    assert not seen(secrets + planter.halves, packed)
    of_calls = {row["id"]: row for row in rows}
    for number in (1, 2, 7, 8):  # streamed, whole and parted: their usage is what it was
        assert of_calls[f"call-{number}"]["prompt_tokens"] == 4155552
        assert b"so: " in (packed or of_calls[f"call-{number}"]["response_json"])
    assert bool(packed) == (payloads == "offload")
