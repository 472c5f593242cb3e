"""An operator's SELECT reads files, settings, other databases, or takes the memory.

Whatever is run is through, unless it says nothing of what is kept from it: names of the attack are of
functions and tables that no statement may reach at all. Statements that are too large are through where
they are answered with more than an answer may hold, or while the process grows by more than GROWTH_BYTES
or beyond PEAK_BYTES: the engine's allocator keeps some of what earlier statements took.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from llmledgerd.errors import LlmledgerdError
from llmledgerd.query.results import Table
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.readonly_sql import MAX_BYTES, ReadOnlySql
from tests.helpers.operators_sql import AS_FUNCTIONS, AS_TABLES, HOSTILE, LARGE, REACHING, TABLES
from tests.helpers.store_rows import add_traces
from tests.security.attack import Attack

SECRET = "a secret that lies in a file of the host"
GROWTH_BYTES = 1 << 30
"""Of this process: the engine has 512 MiB for a statement, and holds its answer besides."""
PEAK_BYTES = 3 << 30


def run(attack: Attack) -> None:
    file, out = attack.folder / "secret", attack.folder / "written"
    file.write_text(SECRET)
    store = _filled(f"chdb://{attack.folder}/data", file)
    sql = ReadOnlySql(f"chdb://{attack.folder}/data")
    attack.ends.callback(store.close)
    attack.ends.callback(sql.close)
    for template in _statements():
        statement = template.replace("{file}", str(file)).replace("{out}", str(out))
        answer, said = _run(sql, statement)
        attack.tried(statement, through=answer is not None or SECRET in said or out.exists())
        out.unlink(missing_ok=True)
    for statement in LARGE:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
        most = min(PEAK_BYTES, _peak() + GROWTH_BYTES)
        answer, _ = _run(sql, statement)
        attack.tried(f"large: {statement}", through=_peak() > most or len(str(answer)) > 4 * MAX_BYTES)
    attack.tried("rows", through=[row["id"] for row in store.query("SELECT id FROM llm_traces")] != ["kept"])


def _statements() -> list[str]:
    called = [place.replace("{f}", name) for place, name in product(AS_FUNCTIONS, REACHING)]
    others = [
        place.replace("{f}", name) for place in AS_FUNCTIONS[:8] for name in ("FILE", "File", "own", "OWN")
    ]
    tables = [place.replace("{t}", name) for place, name in product(AS_TABLES, TABLES)]
    return [*HOSTILE, *called, *others, *tables]


def _filled(url: str, file: Path) -> Store:
    store = Store(url)
    migrations.apply(store, migrations.Layout())
    add_traces(store, [{"id": "kept"}])
    store.run("CREATE DATABASE elsewhere")
    store.run("CREATE TABLE elsewhere.secrets (x String) ENGINE = MergeTree ORDER BY x")
    store.run("INSERT INTO elsewhere.secrets VALUES ('s')")
    store.run(f"CREATE VIEW peek AS SELECT * FROM file('{file}', 'LineAsString')")
    store.run("CREATE FUNCTION own AS x -> file(x)")
    return store


def _run(sql: ReadOnlySql, statement: str) -> tuple[Table | None, str]:
    try:
        return sql.run(statement), ""
    except (ValueError, LlmledgerdError) as error:
        return None, str(error)


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
