"""An exception that nobody foresaw costs the line at fault, is said, and strands nothing."""

from __future__ import annotations

from collections import Counter
from typing import IO

from llmledgerd.spool import dead_letters
from llmledgerd.stores.clickhouse.client import Store
from tests.chaos.hostile.faulty import RAISES
from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.prefork import Process
from tests.helpers.waiting import until

LINES = 50
EVERY = 10
"""One line in so many raises."""


class Faulty(RunningDaemon):
    """A daemon that meets faults of its own."""

    def _launch(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Process:
        module = [part if part != "llmledgerd" else "tests.chaos.hostile.faulty" for part in command]
        return super()._launch(module, environment, log)


def run(stage: Stage) -> str:
    at = stage.folder / "d" / "admin.sock"
    calls = [f"{RAISES if number % EVERY == 0 else 'plain-'}{number}" for number in range(LINES)]
    bad = sum(call.startswith(RAISES) for call in calls)
    with Faulty(stage.folder / "d") as daemon:
        daemon.send_one_way(b"".join(line(call, number) for number, call in enumerate(calls)))
        until(lambda: admin.status(at)["stored"] == LINES - bad, limit=20, what="the other lines")
        status = admin.status(at)
        assert (status["dead_letters"], status["in_spool"]) == (bad, 0), status
        code, said = admin.get(at, "/readyz")
        assert code == 200, said
        assert "fault" in said, said
        assert "ZeroDivisionError" in said, said
        assert "the words of" not in said + daemon.log_path.read_text(), "a payload was said"
        metrics = admin.get(at, "/metrics")[1]
        assert f'reason="internal_error",store="clickhouse"}} {bad}.0' in metrics, "no metric tells"
        daemon.terminate()
    reasons = Counter(letter.reason for letter in dead_letters.read(daemon.spool))
    assert reasons == {"internal_error": bad}, reasons
    store = Store(daemon.url)
    rows = [row["id"] for row in store.query("SELECT id FROM llm_traces")]
    store.close()
    assert sorted(rows) == sorted(call for call in calls if not call.startswith(RAISES)), "lost or repeated"
    return f"{LINES - bad} rows, {bad} dead letters with their reason; readyz: {said.strip()[:120]}"
