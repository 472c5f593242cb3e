"""Tries statements and settings on the engine of this process; imports nothing of the project.

Reads ``{"run": […], "parse": […], "settings": {…}}`` from standard input, and prints one line of JSON.
"""

from __future__ import annotations

import json
import sys

from chdb.session import Session


def main() -> None:
    """Answer the question on standard input."""
    asked = json.loads(sys.stdin.read())
    session = Session(sys.argv[1])  # type: ignore[no-untyped-call]  # chdb is typed in part
    refused: dict[str, str] = {}

    def run(statement: str) -> str:
        try:
            answer = session.query(statement, "TabSeparated")  # type: ignore[no-untyped-call]  # as above
            return str(answer).strip()
        except Exception as error:  # noqa: BLE001 - whatever the version raises is its answer
            refused[statement] = " ".join(str(error).split())[:300]
            return ""

    run("CREATE DATABASE llm ENGINE = Atomic")
    run("USE llm")
    for statement in asked["run"]:
        run(statement)
    for statement in asked["parse"]:
        escaped = statement.replace("\\", "\\\\").replace("'", "\\'")
        run(f"SELECT formatQuery('{escaped}')")
    known = set(run("SELECT name FROM system.settings").split("\n"))
    for name, value in asked["settings"].items():
        if name in known:
            run(f"SET {name} = '{value}'")
    unknown = sorted(set(asked["settings"]) - known)
    print(json.dumps({"version": run("SELECT version()"), "refused": refused, "unknown": unknown}))


if __name__ == "__main__":
    main()
