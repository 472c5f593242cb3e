"""Operators' SQL, restricted to reads of this store.

Invariant: what runs is one SELECT over tables of this product and a few of the engine's own, made
of functions that compute, whoever wrote it; and its answer has at most MAX_ROWS rows and MAX_BYTES.

On a server the boundary is the user that the statement runs as (docs/sql.md); ``llmledgerd check`` looks at
its rights. The embedded engine has no users, so that the statement itself is judged, in both cases:
- What runs is not the text but the parser's rendering of it (``formatQuerySingleLine``), inside
  ``SELECT * FROM (...)``, where neither a second statement nor an output clause can stand.
- The query tree is judged before the engine has looked anything up, so that refusing runs nothing: a
  scalar subquery or a call with constant arguments is run by the lookup already. Then it is judged
  again as it was resolved, when each alias, lambda and matcher has become what it stands for.
- The connection has ``readonly = 1``, after its limits were set. It is not enough: with it, the embedded
  engine was seen to read files by ``file()`` and to write them by ``INTO OUTFILE``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any, Final

from llmledgerd.errors import LlmledgerdError, StoreBusy
from llmledgerd.query.results import Table
from llmledgerd.stores.clickhouse import query_tree
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.error_codes import fault_of_statement
from llmledgerd.stores.clickhouse.query_tree import Refused, Tree

MAX_ROWS: Final = 10_000
MAX_BYTES: Final = 16 << 20
"""Maximum size of a result by ``byteSize``, before compression."""

EXECUTION_SECONDS: Final = 60
ANSWER_SECONDS: Final = EXECUTION_SECONDS + 15
"""So that the server's own word about the time that it took arrives first."""

LIMITS: Final[Mapping[str, Any]] = {
    "allow_experimental_analyzer": 1,  # whose tree is judged
    "max_execution_time": EXECUTION_SECONDS,
    "max_memory_usage": 512 << 20,  # its answer can be in memory some four times more
    "max_expanded_ast_elements": 50_000,  # of the tree, whose text is many times larger, and is judged here
    "max_threads": 2,
    "max_block_size": 1024,  # what the engine makes at once before its size can be seen
    "readonly": 1,  # the last one, after which there is no changing any
}

TOO_LARGE: Final = f"the answer has more than {MAX_BYTES} bytes; add a LIMIT, or select less"
BOUNDED: Final = (
    "SELECT * FROM ({statement} LIMIT {rows}) QUALIFY NOT throwIf("
    "(sum(byteSize(*)) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) > {bytes}, '{said}')"
)
"""Counts in the engine, row by row, so that no block that is too large leaves it."""

LOOKED_UP: Final = (
    "SELECT 'function' AS kind, name FROM system.functions WHERE lower(name) IN {lowered:Array(String)}"
    " UNION ALL SELECT 'database' AS kind, name FROM system.databases WHERE name IN {names:Array(String)}"
    " UNION ALL SELECT 'table' AS kind, name FROM system.tables"
    " WHERE database = currentDatabase() AND name IN {names:Array(String)}"
)


class ReadOnlySql:
    """Runs operators' SQL on connections of its own. Blocking."""

    def __init__(self, url: str, mark: str = "") -> None:
        """``mark`` is seen in ``system.processes`` as the setting ``log_comment``."""
        self._store = Store(url, settings={"log_comment": mark, **LIMITS}, timeout_seconds=ANSWER_SECONDS)
        self._engine = Store(url) if self._store.is_embedded else None

    def run(self, text: str) -> Table:
        """Return the rows. Raises Refused, ValueError for what the engine cannot run, StoreBusy."""
        try:
            return self._run(text)
        except StoreBusy as error:
            if fault := fault_of_statement(error):
                raise ValueError(fault) from None
            raise
        finally:
            self._release_memory()

    def log_in_as(self, url: str) -> None:
        self._store.log_in_as(url)

    def close(self) -> None:
        self._store.close()
        if self._engine is not None:
            self._engine.close()

    def _release_memory(self) -> None:
        """Return what the statement took to the system.

        The allocator of an embedded engine keeps freed pages for the next statement until they decay, which
        takes up to a minute without use; in between statements were seen to add up to 1.4 GiB. This takes
        0.3 ms after a small statement, and 0.3 s after one that used all it may.
        """
        if self._engine is not None:
            with contextlib.suppress(LlmledgerdError):  # the statement has its answer, or its own error
                self._engine.run("SYSTEM JEMALLOC PURGE")

    def _run(self, text: str) -> Table:
        statement = f"SELECT * FROM ({self._rendered(text)})"  # noqa: S608 - as the parser writes it; checked next
        database = self._store.query("SELECT currentDatabase() AS name")[0]["name"]
        written = self._tree(statement, "run_passes = 0")
        query_tree.check(written, database)
        query_tree.check_found(self._looked_up(written), written, database)
        query_tree.check(self._tree(statement, "run_passes = 1, passes = 1"), database)
        try:
            names, rows = self._store.table(_bounded(statement))
        except StoreBusy as error:
            raise (Refused(TOO_LARGE) if TOO_LARGE in str(error) else error) from None
        return Table(list(names), [list(row) for row in rows[:MAX_ROWS]], len(rows) > MAX_ROWS)

    def _tree(self, statement: str, options: str) -> Tree:
        return query_tree.read(self._store.explain(f"QUERY TREE {options} {statement}"))

    def _looked_up(self, tree: Tree) -> list[tuple[str, str]]:
        names = query_tree.candidates(tree)
        rows = self._store.query(LOOKED_UP, {"names": names, "lowered": [name.lower() for name in names]})
        return [(row["kind"], row["name"]) for row in rows]

    def _rendered(self, text: str) -> str:
        """Return the one statement that the text is, as the engine's parser writes it."""
        rows = self._store.query("SELECT formatQuerySingleLine({text:String}) AS rendered", {"text": text})
        rendered = str(rows[0]["rendered"])
        if not re.match(r"\(*(SELECT|WITH)\b", rendered):
            raise Refused("only SELECT is allowed")
        query_tree.check_names(rendered)
        return rendered


def _bounded(statement: str) -> str:
    return BOUNDED.format(statement=statement, rows=MAX_ROWS + 1, bytes=MAX_BYTES, said=TOO_LARGE)
