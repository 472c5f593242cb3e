"""Parts of a statement, from the engine's ``EXPLAIN QUERY TREE``. Pure.

Invariant: a line that is not understood refuses the statement. A node is judged wherever it stands and
whatever a name above it may look like; where a node stands only ever makes the judgement stricter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

DATA: Final = "sql_functions.txt"
AGGREGATES: Final = "aggregate"
COMBINATORS: Final = re.compile(
    r"(.+)(?:If|Array|Map|Distinct|OrDefault|OrNull|State|SimpleState|Merge|MergeState|ForEach|Resample|ArgMin|ArgMax|Tuple)"
)
TABLE_FUNCTIONS: Final = {"numbers", "numbers_mt", "zeros", "zeros_mt", "generate_series", "generateseries"}
OWN_TABLES: Final = {
    "llm_traces", "llm_traces_local", "llm_traces_recomputed", "llm_trace_losses", "llm_usage_hourly",
    "llm_usage_hourly_local", "llm_usage_doubts", "llm_price_changes", "llm_tool_calls",
    "llmledger_migrations",
}  # fmt: skip
SYSTEM_TABLES: Final = {
    "columns", "functions", "merges", "mutations", "numbers", "one", "parts", "parts_columns", "tables",
}  # fmt: skip
TEMPORARY: Final = "_temporary_and_external_tables"
"""Where the engine keeps what it makes for one statement, as for WITH RECURSIVE."""

TYPED: Final = {
    "_cast", "accuratecast", "accuratecastornull", "cast", "dynamicelement", "jsonextract",
    "jsonextractcaseinsensitive", "jsonextractkeysandvalues", "jsonextractkeysandvaluescaseinsensitive",
    "reinterpret", "variantelement",
}  # fmt: skip
"""Functions whose last argument names the type of what they make; it has to be a literal."""

UNBOUNDED_TYPES: Final = re.compile(r"lowcardinality|aggregatefunction|tuple\(\s*\)|nothing", re.IGNORECASE)
"""Types whose values can be far larger than the memory that the engine counts for them, or are read
from bytes that the statement wrote."""

NODES: Final = (
    "APPLY COLUMN TRANSFORMER", "ARGUMENT", "ARRAY_JOIN", "COLUMN", "CONSTANT", "CROSS JOIN",
    "EXCEPT COLUMN TRANSFORMER", "FUNCTION", "IDENTIFIER", "INTERPOLATE", "JOIN", "LAMBDA", "LIST", "MATCHER",
    "QUERY", "REPLACE COLUMN TRANSFORMER", "SORT", "TABLE", "TABLE_FUNCTION", "UNION", "WINDOW",
)  # fmt: skip
LABELS: Final = (
    "ARGUMENTS", "EXPRESSION(?: .*)?", "FILL FROM", "FILL STALENESS", "FILL STEP", "FILL TO", "FRAME BEGIN OFFSET",
    "FRAME END OFFSET", "GROUP BY", "HAVING", "INTERPOLATE", "INTERPOLATE_EXPRESSION", "JOIN EXPRESSIONS?",
    "JOIN TREE", "LEFT TABLE EXPRESSION", "LIMIT", "LIMIT BY", "LIMIT BY LIMIT", "LIMIT BY OFFSET", "OFFSET",
    "ORDER BY", "PARAMETERS", "PARTITION BY", "PREWHERE", "PROJECTION", "PROJECTION COLUMNS", "QUALIFY",
    "QUERIES", r"REPLACEMENT NAME \S+ EXPRESSION", r"REPLACEMENTS \d+", "RIGHT TABLE EXPRESSION",
    "TABLE EXPRESSION", "WHERE", "WINDOW", "WITH",
)  # fmt: skip
"""Parts that a node has. Not among them: SETTINGS."""

NODE: Final = re.compile(rf" *({'|'.join(sorted(NODES, key=len, reverse=True))}) id: \d+(?:, (.*))?")
LABEL: Final = re.compile(rf" *({'|'.join(LABELS)})(?: id: \d+)? *")
ALIAS: Final = r"(?:alias: [^,]*, )?"
FUNCTION: Final = re.compile(rf"{ALIAS}function_name: (\w+), function_type: \w+(?:, .*)?")
TABLE_FUNCTION: Final = re.compile(rf"{ALIAS}table_function_name: (\w+)(?:, .*)?")
TABLE: Final = re.compile(rf"{ALIAS}table_name: ([^,]+)(?:, .*)?")
IDENTIFIER: Final = re.compile(rf"{ALIAS}identifier: ([^,]+)(?:, .*)?")
LAMBDA: Final = re.compile(r"alias: ([^,]*)")
CTE: Final = re.compile(r"\bcte_name: ([^,]*)")
PLAIN: Final = re.compile(r"[\w .()%-]+")

QUOTED: Final = re.compile(
    r"'(?:[^'\\]|\\.|'')*'|`((?:[^`\\]|\\.|``)*)`|\"((?:[^\"\\]|\\.|\"\")*)\"", re.DOTALL
)
NAME: Final = re.compile(r"[^,:;`'\"\\\x00-\x1f\x7f-\x9f\u2028\u2029]*")
"""What a quoted name may hold: the tree writes names bare, so none may look like a part of it."""


class Refused(ValueError):
    """A statement that is no SELECT, or reaches beyond the store."""


class Tree(msgspec.Struct, frozen=True):
    """Names by what they are used as."""

    functions: set[str] = msgspec.field(default_factory=set)
    table_functions: set[str] = msgspec.field(default_factory=set)
    tables: set[str] = msgspec.field(default_factory=set)
    """Tables that the engine has found."""
    identifiers: set[str] = msgspec.field(default_factory=set)
    """Names that the engine has not looked up yet: columns, aliases, tables after IN, functions."""
    sources: set[str] = msgspec.field(default_factory=set)
    """Those of them that stand where a table stands."""
    ctes: set[str] = msgspec.field(default_factory=set)
    lambdas: set[str] = msgspec.field(default_factory=set)
    """Names of functions that the statement itself defines."""
    inner: set[str] = msgspec.field(default_factory=set)
    """Functions and bare names within lambdas."""


def check_names(rendered: str) -> None:
    """Raise Refused for a quoted name that could be taken for a part of the tree."""
    for found in QUOTED.finditer(rendered):
        name = found[1] if found[1] is not None else found[2]
        if name is not None and NAME.fullmatch(name) is None:
            raise Refused("a quoted name has a comma, a colon, a quote or a control character in it")


class Node(msgspec.Struct):
    """One node, or one labeled part of one."""

    kind: str
    rest: str
    """What the line says after the number."""
    above: Node | None
    is_inner: bool = False
    """Whether it stands within a lambda."""
    below: list[Node] = msgspec.field(default_factory=list)

    def name(self, form: re.Pattern[str]) -> str:
        """Return the name that is in the line. Raises Refused where it has not this form."""
        found = form.fullmatch(self.rest)
        if found is None:
            raise Refused(f"unsupported part of the statement: {self.rest[:60]}")
        return found[1]

    def arguments(self) -> list[Node]:
        """Return a function's arguments."""
        return [
            one
            for part in self.below
            if part.kind == "ARGUMENTS"
            for each in part.below
            for one in each.below
        ]

    def is_source(self) -> bool:
        """Return whether it stands where a table stands."""
        above = self.above
        while above is not None and above.kind == "LIST":
            above = above.above
        return above is not None and above.kind.endswith(("JOIN TREE", "TABLE EXPRESSION"))


def read(lines: Iterable[str]) -> Tree:
    """Return what a tree names. Raises Refused for a line that is not understood."""
    tree = Tree()
    for node in _nodes(lines):
        if node.kind == "FUNCTION":
            name = node.name(FUNCTION)
            tree.functions.add(name)
            if node.is_inner:
                tree.inner.add(name)
            _check_arguments(name.lower(), node.arguments())
        elif node.kind == "TABLE_FUNCTION":
            tree.table_functions.add(node.name(TABLE_FUNCTION))
        elif node.kind == "TABLE":
            tree.tables.add(node.name(TABLE).replace("`", ""))
        elif node.kind == "IDENTIFIER":
            name = node.name(IDENTIFIER)
            tree.identifiers.add(name)
            if node.is_inner:
                tree.inner.add(name)
            if node.is_source():
                tree.sources.add(name)
        elif node.kind in ("QUERY", "UNION"):
            tree.ctes.update(CTE.findall(node.rest))
        elif node.kind == "LAMBDA" and node.rest:
            tree.lambdas.add(node.name(LAMBDA))
    return tree


def _nodes(lines: Iterable[str]) -> list[Node]:
    nodes: list[Node] = []
    above: list[tuple[int, Node]] = []
    for line in lines:
        if not line:
            continue  # after a list of nothing
        depth = len(line) - len(line.lstrip(" "))
        while above and above[-1][0] >= depth:
            above.pop()
        around = above[-1][1] if above else None
        found = NODE.fullmatch(line) or LABEL.fullmatch(line)
        if found is None:
            if around is None or around.kind != "PROJECTION COLUMNS":
                raise Refused(f"unsupported part of the statement: {line.strip()[:60]}")
            continue
        inner = around is not None and (around.is_inner or around.kind == "LAMBDA")
        node = Node(found[1], (found[2] or "") if found.re is NODE else "", around, inner)
        if around is not None:
            around.below.append(node)
        nodes.append(node)
        above.append((depth, node))
    return nodes


def _check_arguments(function: str, arguments: list[Node]) -> None:
    """Raise Refused where a value is made whose size the engine does not count."""
    if function == "tuple" and not arguments:
        raise Refused("a tuple of nothing")
    if function not in TYPED or not arguments:
        return
    if arguments[-1].kind != "CONSTANT":
        raise Refused(f"the target type of {function} must be a literal")
    if UNBOUNDED_TYPES.search(arguments[-1].rest):
        raise Refused("nothing is cast to LowCardinality, AggregateFunction, Nothing or an empty tuple here")


def check(tree: Tree, database: str) -> None:
    """Raise Refused for a name that is on no list."""
    for name in sorted(
        tree.lambdas & tree.inner
    ):  # each level can double what the engine resolves, uncounted
        raise Refused(f"{name} is defined by the statement, and used in another lambda")
    for name in sorted(tree.functions - tree.lambdas):
        if not is_allowed(name):
            raise Refused(f"the function {name} is not allowed")
    for name in sorted(tree.table_functions):
        if name.lower() not in TABLE_FUNCTIONS:
            raise Refused(
                f"the table function {name} is not allowed; there are {', '.join(sorted(TABLE_FUNCTIONS))}"
            )
    for name in sorted(tree.tables | (tree.sources - tree.ctes)):
        _check_table(name, database)
    for name in sorted(tree.identifiers):
        if PLAIN.fullmatch(name) is None:
            raise Refused(f"the name {name} may be a file's")


def check_found(found: Collection[tuple[str, str]], tree: Tree, database: str) -> None:
    """Raise Refused for a bare name that is, in this engine, a function or a table that is on no list.

    ``found`` are kind (function, database, table) and name of what the engine has by ``candidates``.
    """
    for kind, name in found:
        if kind == "function" and not is_allowed(name):
            raise Refused(f"{name} is the name of a function that is not allowed; rename it")
        if kind == "table" and name not in OWN_TABLES | tree.ctes:
            raise Refused(f"the table {name} is not allowed")
        if kind == "database":
            for full in (one for one in tree.identifiers if one.startswith(f"{name}.")):
                _check_table(full, database)


def candidates(tree: Tree) -> list[str]:
    """Return what the tree's bare names may name besides columns: whole, and what is before their dots."""
    found = tree.identifiers | tree.lambdas
    for name in tree.identifiers:
        parts = name.split(".")
        found.update(".".join(parts[:end]) for end in range(1, len(parts)))
    return sorted(found)


def is_allowed(name: str) -> bool:
    """Return whether a function computes from its arguments alone, in whichever case it is written."""
    ordinary, aggregates = allowed()
    if name.lower() in ordinary | aggregates:
        return True
    bare: str | None = name
    while bare is not None:
        if bare.lower() in aggregates:
            return True
        combined = COMBINATORS.fullmatch(bare)
        bare = combined[1] if combined else None
    return False


@cache
def allowed() -> tuple[frozenset[str], frozenset[str]]:
    """Return the names, in lower case, of functions and of aggregate functions that are run."""
    ordinary: set[str] = set()
    aggregates: set[str] = set()
    section = ordinary
    for line in files(__package__).joinpath(DATA).read_text().splitlines():
        if line.startswith("["):
            section = aggregates if line == f"[{AGGREGATES}]" else ordinary
        elif not line.startswith("#"):
            section.update(line.lower().split())
    return frozenset(ordinary), frozenset(aggregates)


def _check_table(name: str, database: str) -> None:
    schema, dot, table = name.partition(".")
    if not dot:
        schema, table = database, name
    if schema == TEMPORARY or (schema == database and table in OWN_TABLES):
        return
    if schema == "system" and table in SYSTEM_TABLES:
        return
    raise Refused(
        f"the table {name} is not one of {', '.join(sorted(OWN_TABLES))}; of system there are"
        f" {', '.join(sorted(SYSTEM_TABLES))}"
    )
