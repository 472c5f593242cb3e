"""SQL of operators, which reads this store and nothing else.

Invariant: what runs is one SELECT over tables of this database and a few of the engine's own, made
of functions that compute, whoever wrote it.

Three locks, each of which would do for most attempts:
- The connection has the engine's ``readonly = 1``, after its limits were set, so that nothing is
  written and no setting changed. (``readonly = 2`` was seen to read a file of the host.) It is not
  enough: with it, the embedded engine was seen to read files by the function ``file()``, to write
  them by ``INTO OUTFILE``, to describe them by ``DESCRIBE file(…)``, and to end queries by ``KILL``.
- The text is taken apart by the engine's own parser (``formatQuerySingleLine``, ``EXPLAIN AST``), and
  each part of the tree has to be on a list: kinds of nodes, table functions, tables, functions.
- What is run is not the text but the parser's rendering of it, inside ``SELECT * FROM (…)``, where
  neither a second statement nor an output clause can stand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from llmtraced.errors import StoreBusy
from llmtraced.store import Store

LIMITS: Final[Mapping[str, Any]] = {
    "max_execution_time": 60,
    "max_memory_usage": 2 << 30,
    "max_threads": 2,
    "readonly": 1,  # the last one, after which there is no changing any
}
MAX_ROWS: Final = 10_000

NODES: Final = {
    "ArrayJoin", "Asterisk", "ColumnsListMatcher", "ColumnsRegexpMatcher", "ColumnsExceptTransformer",
    "ColumnsApplyTransformer", "ColumnsReplaceTransformer", "ColumnsTransformerList", "ExpressionList",
    "Function", "Identifier", "InterpolateElement", "Literal", "OrderByElement", "QualifiedAsterisk",
    "SampleRatio", "SelectIntersectExceptQuery", "SelectQuery", "SelectWithUnionQuery", "Subquery",
    "TableExpression", "TableIdentifier", "TableJoin", "TablesInSelectQuery", "TablesInSelectQueryElement",
    "WindowDefinition", "WindowListElement", "WithElement",
}  # fmt: skip
"""Kinds of nodes that a SELECT may be made of. Not among them: SETTINGS, EXPLAIN, DESCRIBE, SHOW."""

TABLE_FUNCTIONS: Final = {
    "numbers",
    "numbers_mt",
    "zeros",
    "zeros_mt",
    "generate_series",
    "generateseries",
    "values",
}
SYSTEM_TABLES: Final = {
    "columns", "disks", "functions", "merges", "mutations", "numbers", "one", "parts", "parts_columns", "tables",
}  # fmt: skip

CATEGORIES: Final = {
    "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times", "Distance", "Encoding",
    "Financial", "Geo", "Geo Polygon", "Hash", "IP Address", "JSON", "Logical", "Map", "Mathematical", "Null",
    "NumericIndexedVector", "QBit", "Random Number", "Rounding", "String", "String Replacement", "String Search",
    "String Splitting", "Time Series", "Time Window", "Tuple", "Type Conversion", "URL", "UUID",
}  # fmt: skip
"""Categories of ``system.functions`` whose functions compute from their arguments alone."""

OTHERS: Final = {
    "bar", "bytesize", "cast", "countdigits", "currentdatabase", "errorcodetoname", "finalizeaggregation",
    "formatreadabledecimalsize", "formatreadablequantity", "formatreadablesize", "formatreadabletimedelta",
    "grouping", "identity", "isdecimaloverflow", "lambda", "materialize", "neighbor", "now", "rownumberinallblocks",
    "runningaccumulate", "runningdifference", "toTypeName".lower(), "transform", "version", "visiblewidth",
    "exists", "untuple", "viewwhere", "arrayjoin", "interval",
}  # fmt: skip
"""Further functions, in lower case: of no category, or of one that has others beside them."""

NODE: Final = re.compile(r"( *)(\w+)(?: (.*?))?(?: \(alias .*\))?(?: \(children \d+\))?")


class Refused(ValueError):
    """A statement that is no SELECT, or reaches beyond the store."""


class Table(msgspec.Struct, frozen=True):
    """What a statement returned. Values that JSON has no type for are text."""

    columns: list[str]
    rows: list[list[Any]]
    more: bool
    """Whether there were more rows than are returned."""


class ReadOnlySql:
    """Runs operators' SQL on connections of its own. Blocking."""

    def __init__(self, url: str, mark: str = "") -> None:
        """``mark`` is seen in ``system.processes`` as the setting ``log_comment``."""
        self._store = Store(url, settings={"log_comment": mark, **LIMITS})

    def run(self, text: str) -> Table:
        """Return the rows. Raises Refused, ValueError for what the engine cannot run, StoreBusy."""
        try:
            return self._run(text)
        except StoreBusy as error:
            if error.kind in ("other", "missing_column", "missing_table", "read_only"):
                raise ValueError(str(error)) from None
            raise

    def log_in_as(self, url: str) -> None:
        self._store.log_in_as(url)

    def close(self) -> None:
        self._store.close()

    def _run(self, text: str) -> Table:
        statement = f"SELECT * FROM ({self._rendered(text)}) LIMIT {MAX_ROWS + 1}"  # noqa: S608 - as the parser writes it; checked next
        nodes = list(_nodes(self._store.explain(f"AST {statement}")))
        database = self._store.query("SELECT currentDatabase() AS name")[0]["name"]
        check(nodes, database)
        self._check_functions({name for kind, name, _ in nodes if kind == "Function"})
        names, rows = self._store.table(statement)
        return Table(list(names), [list(row) for row in rows[:MAX_ROWS]], len(rows) > MAX_ROWS)

    def _rendered(self, text: str) -> str:
        """Return the one statement that the text is, as the engine's parser writes it."""
        rows = self._store.query("SELECT formatQuerySingleLine({text:String}) AS rendered", {"text": text})
        rendered = str(rows[0]["rendered"])
        if not re.match(r"\(*(SELECT|WITH)\b", rendered):
            raise Refused("only SELECT is run here")
        return rendered

    def _check_functions(self, names: Collection[str]) -> None:
        rows = self._store.query(
            "SELECT f.name AS name, f.is_aggregate AS is_aggregate, f.origin AS origin, t.categories AS categories"
            " FROM system.functions AS f LEFT JOIN system.functions AS t"
            " ON t.name = if(f.alias_to = '', f.name, f.alias_to)"
            " WHERE lower(f.name) IN {names:Array(String)}",
            {"names": [name.lower() for name in names]},
        )
        harmless = {row["name"].lower() for row in rows if _computes(row)} | OTHERS | TABLE_FUNCTIONS
        for name in names:
            bare = re.sub(r"(If|Array|Map|Distinct|OrDefault|OrNull|State|Merge|MergeState)+$", "", name)
            if not {name.lower(), bare.lower()} & harmless and not self._is_aggregate(bare):
                raise Refused(f"the function {name} is not among those that only compute")

    def _is_aggregate(self, name: str) -> bool:
        question = "SELECT 1 FROM system.functions WHERE is_aggregate AND lower(name) = {name:String}"
        return bool(self._store.query(question, {"name": name.lower()}))


def check(nodes: Collection[tuple[str, str, str]], database: str) -> None:
    """Raise Refused for a part of the tree that is on no list. Pure.

    ``nodes`` are kind, name and the kind of what is around it.
    """
    for kind, name, around in nodes:
        if kind not in NODES:
            raise Refused(f"{kind} is not allowed here; only SELECT is run")
        if kind == "Function" and around == "TableExpression" and name.lower() not in TABLE_FUNCTIONS:
            raise Refused(
                f"the table function {name} is not allowed; there are {', '.join(sorted(TABLE_FUNCTIONS))}"
            )
        if kind == "TableIdentifier":
            _check_table(name, database)
        if kind == "Identifier" and (name.startswith("system.") or "/" in name):
            _check_table(name, database)  # it may be a table: `x IN system.users`


def _check_table(name: str, database: str) -> None:
    schema, dot, table = name.partition(".")
    if not dot and "/" not in name:
        return
    if schema == database and "/" not in table:
        return
    if schema == "system" and table in SYSTEM_TABLES:
        return
    raise Refused(
        f"the table {name} is not of this database; of system there are {', '.join(sorted(SYSTEM_TABLES))}"
    )


def _computes(row: Mapping[str, Any]) -> bool:
    if row["is_aggregate"]:
        return True
    return row["origin"] == "System" and row["categories"] in CATEGORIES


def _nodes(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and surrounding kind of each node of an ``EXPLAIN AST``."""
    around: list[str] = []
    for line in lines:
        found = NODE.fullmatch(line)
        if found is None:
            raise Refused("a part of the statement is not understood")
        depth, kind, name = len(found[1]), found[2], found[3] or ""
        del around[depth:]
        yield kind, name, around[-1] if around else ""
        around.append(kind)
