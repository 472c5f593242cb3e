"""What is said of the daemon's health, and to whom."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmledgerd.admin.auth import Tokens, new
from llmledgerd.admin.health import Health
from llmledgerd.telemetry.metrics import Metrics


class Asked:
    """A daemon's health, with a token of each kind."""

    def __init__(self, folder: Path, *, metrics_need_token: bool = False) -> None:
        self.operator, for_all = new([])
        self.organization, for_one = new(["acme"])
        self.metrics, for_metrics = new([], metrics=True)
        self.file = folder / "tokens"
        self.file.write_text(f"{for_all}\n{for_one}\n{for_metrics}\n")
        self.status: Any = SimpleNamespace(ready=True, spool="", stores=[])
        tokens = Tokens(str(self.file))
        self.health = Health(self._status, Metrics({}), tokens, metrics_need_token=metrics_need_token)
        self.local = Health(self._status, Metrics({}), None)

    async def _status(self) -> Any:
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    async def ready(self, authorization: str) -> tuple[int, str]:
        answer = await self.health.answer("/readyz", authorization, "")
        return answer.status, answer.body.decode()


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


async def test_liveness_asks_nothing(asked: Asked) -> None:
    asked.status = OSError("no status")
    answer = await asked.health.answer("/healthz", "", "")
    assert (answer.status, answer.body, answer.content_type) == (200, b"ok\n", "text/plain; charset=utf-8")


async def test_readiness_gives_its_reasons_to_operators_alone(asked: Asked) -> None:
    store = SimpleNamespace(name="clickhouse", trouble="refused", faults="a fault")
    for is_ready, spool, code, known in ((True, "", 200, b"ready\n"), (False, "full", 503, b"not ready\n")):
        asked.status = SimpleNamespace(ready=is_ready, spool=spool, stores=[store])
        reasons = f"{spool or 'ready'}; records wait in the spool for clickhouse, which is unavailable: refused; internal fault during delivery to clickhouse: a fault\n"
        assert await asked.ready(f"Bearer {asked.operator}") == (code, reasons)
        for other in (
            "",
            "Bearer x",
            "Bearer \udcff",
            f"Bearer {asked.organization}",
            f"Bearer {asked.metrics}",
        ):
            assert await asked.ready(other) == (code, known.decode())
        local = await asked.local.answer("/readyz", "", "")
        assert (local.status, local.body.decode()) == (code, reasons)


async def test_tokens_that_cannot_be_read_grant_nothing(asked: Asked) -> None:
    asked.file.unlink()
    asked.status = SimpleNamespace(ready=True, spool="reasons", stores=[])
    assert await asked.ready(f"Bearer {asked.operator}") == (200, "ready\n")


async def test_metrics_that_need_a_token_are_refused_without_one(tmp_path: Path) -> None:
    asked = Asked(tmp_path, metrics_need_token=True)
    for token in ("", "wrong", asked.organization):
        answer = await asked.health.answer("/metrics", f"Bearer {token}", "")
        assert (answer.status, answer.wants_token) == (401, True)
        assert answer.headers()["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
async def test_a_fault_is_an_answer_and_logged(
    asked: Asked, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.status = KeyError("a fault")
    answer = await asked.local.answer(path, "", "")
    assert (answer.status, answer.body) == (500, b"internal error; see the daemon's log\n")
    assert "request failed" in "".join(capsys.readouterr())
