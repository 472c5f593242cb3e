"""An operator's SELECT reads files, settings, other databases, or takes the memory.

Whatever is run is through, unless it says nothing of what is kept from it: names of the attack are of
functions and tables that no statement may reach at all. Statements that are too large are through where
they are answered with more than an answer may hold, where the process grows by more than GROWTH_BYTES
meanwhile, or where it keeps more than KEPT_BYTES of that afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from unittest.mock import patch

from llmledgerd.errors import LlmledgerdError
from llmledgerd.query.results import Table
from llmledgerd.stores.clickhouse import migrations, query_tree, readonly_sql
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.query_tree import Tree
from llmledgerd.stores.clickhouse.readonly_sql import MAX_BYTES, ReadOnlySql
from tests.helpers.operators_sql import AS_FUNCTIONS, AS_TABLES, HOSTILE, LARGE, REACHING, TABLES
from tests.helpers.store_rows import add_traces
from tests.security.attack import Attack

SECRET = "a secret that lies in a file of the host"
GROWTH_BYTES = 768 << 20
"""Of this process: the engine has 512 MiB for a statement, which it was seen to exceed by 120, and the
answer, of 16 MiB at most, is held besides."""
KEPT_BYTES = 192 << 20


def run(attack: Attack) -> None:
    file, out = attack.folder / "secret", attack.folder / "written"
    file.write_text(SECRET)
    store = _filled(f"chdb://{attack.folder}/data", file)
    sql = ReadOnlySql(f"chdb://{attack.folder}/data")
    attack.ends.callback(store.close)
    attack.ends.callback(sql.close)

    def reach(statements: list[str]) -> None:
        for template in statements:
            statement = template.replace("{file}", str(file)).replace("{out}", str(out))
            answer, said = _run(sql, statement)
            attack.tried(statement, through=answer is not None or SECRET in said or out.exists())
            out.unlink(missing_ok=True)

    reach(_statements())
    for statement in LARGE:
        attack.tried(f"large: {statement}", through=_is_too_large(sql, statement))
    with attack.control("the check of the query tree"), _unchecked():
        reach(HOSTILE[:10] + [place.replace("{t}", "elsewhere.secrets") for place in AS_TABLES[:5]])
    with attack.control("the limits"), _unlimited():
        unlimited = ReadOnlySql(f"chdb://{attack.folder}/data")
        statement = "SELECT groupArray(number) FROM numbers(60000000)"
        attack.tried(statement, through=_is_too_large(unlimited, statement))
        unlimited.close()
    attack.tried("rows", through=[row["id"] for row in store.query("SELECT id FROM llm_traces")] != ["kept"])


def _is_too_large(sql: ReadOnlySql, statement: str) -> bool:
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    answer, _ = _run(sql, statement)
    if len(str(answer)) > 4 * MAX_BYTES or _memory("VmHWM") > before + GROWTH_BYTES:
        return True
    return _memory("VmRSS") > before + KEPT_BYTES


@contextlib.contextmanager
def _unchecked() -> Iterator[None]:
    with contextlib.ExitStack() as patches:
        for name in ("check", "check_found", "check_names"):
            patches.enter_context(patch.object(query_tree, name, lambda *_: None))
        patches.enter_context(patch.object(query_tree, "read", lambda _: Tree()))
        yield


@contextlib.contextmanager
def _unlimited() -> Iterator[None]:
    limits = {name: value for name, value in readonly_sql.LIMITS.items() if name != "max_memory_usage"}
    with (
        patch.object(readonly_sql, "LIMITS", limits),
        patch.object(readonly_sql, "MAX_BYTES", 1 << 40),
        patch.object(Store, "table", _first_row),
    ):
        yield


def _first_row(store: Store, sql: str) -> tuple[list[str], list[list[object]]]:
    """Run a statement as ``Store.table`` does, and leave its answer in the engine: Python's is far larger."""
    return ["size"], [list(store.query(f"SELECT sum(length(toString(*))) AS size FROM ({sql})")[0].values())]


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


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
