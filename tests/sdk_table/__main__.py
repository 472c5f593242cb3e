"""Make the table, and print it; the exit status is 1 if a cell is wrong."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from llmledgerd.stores.clickhouse.client import Store
from tests import sdk_table
from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.providers import Providers
from tests.sdk_table.entries import ENTRIES
from tests.sdk_table.judge import Row, wrong
from tests.sdk_table.sdk import WAYS, Sdk, has

LIMIT_SECONDS = 900.0

MARKS = {None: "—", "": "✓"}

Table = dict[str, dict[str, str | None]]

HEAD = """# SDKs and ways

`python -m tests.sdk_table --install --write docs/coverage.md` makes this table. Each cell is a call of the real SDK
through `llmledger.instrument()`, the daemon and the embedded engine, against a stand-in for its provider on the loopback
interface. ✓: its rows have the tokens, the model, the status, the outcome and the provider that the stand-in served, one
row for each attempt, and nothing unknown is reported as 0. —: the SDK has no such way.

*left* is a stream that a reader leaves, *cancelled* a task that is cancelled while it waits for the rest of a stream,
*failed* a status of 400, *retried* a status of 503 before the answer, *raw* the SDK's access to the raw response. What is
not covered is named in the client's README.

"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sdk_table", description=sdk_table.__doc__)
    parser.add_argument("names", nargs="*", metavar="SDK", help=", ".join(ENTRIES))
    parser.add_argument("--install", action="store_true", help="install what is missing, by pip")
    parser.add_argument("--target", type=Path, default=Path(tempfile.gettempdir()) / "llmledger-sdks")
    parser.add_argument("--write", type=Path, help="write the table into this document")
    given = parser.parse_args(arguments)
    names = given.names or list(ENTRIES)
    if unknown := set(names) - set(ENTRIES):
        parser.error(f"unknown SDK: {', '.join(sorted(unknown))}")
    paths = {name: path for name in names if (path := _path(ENTRIES[name], given)) is not None}
    table, versions = judged(paths)
    print(rendered(table, versions))
    if given.write:
        given.write.write_text(HEAD + rendered(table, versions) + "\n")
    for name in names:
        if name not in paths:
            print(f"not installed: {name}")
    found = [(name, way, said) for name, cells in table.items() for way, said in cells.items() if said]
    for name, way, said in found:
        print(f"wrong: {name}, {way}: {said}")
    cells = sum(said is not None for row in table.values() for said in row.values())
    print(f"{cells - len(found)} of {cells} cells right")
    return 1 if found else 0


def judged(paths: dict[str, str]) -> tuple[Table, dict[str, str]]:
    """Make the calls of these SDKs; return what is wrong with each cell, and the SDKs' versions.

    A cell is None for a way that an SDK has not, and "" where nothing is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="sdks-") as folder, RunningDaemon(Path(folder)) as daemon:
        answers = {name: _called(name, path, daemon.socket) for name, path in paths.items()}
        assert daemon.terminate() == 0
        rows = _rows(daemon.url)
    table: Table = {}
    for name, answer in answers.items():
        raised = answer["raised"]
        table[name] = {way: _said(name, way, rows, raised) for way in WAYS}
        others = {way: said for way, said in raised.items() if way not in WAYS}
        if others:
            table[name]["plain"] = f"{table[name]['plain']} {others}"
    return table, {name: answer.get("version", "") for name, answer in answers.items()}


def _said(name: str, way: str, rows: dict[str, list[Row]], raised: dict[str, str]) -> str | None:
    if not has(ENTRIES[name], way):
        return None
    found = wrong(ENTRIES[name], way, rows.get(f"{name}/{way}", []))
    return "; ".join(filter(None, (raised.get(way), found)))


def _called(name: str, path: str, socket: Path) -> dict[str, Any]:
    """Make one SDK's calls in a process of its own; return its version, and what raised, by way."""
    entry = ENTRIES[name]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), str(ROOT / "client"), path))),
        "LLMLEDGER_SOCKET": str(socket),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": "*",
    }
    ways = [way for way in WAYS if has(entry, way)]
    with Providers() as providers:
        command = [sys.executable, "-m", "tests.sdk_table.child", name, providers.host, *ways]
        try:
            done = subprocess.run(
                command,
                env=environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"raised": dict.fromkeys(ways, "did not end")}
    if done.returncode:
        return {"raised": dict.fromkeys(ways, f"ended with {done.returncode}: {done.stderr.strip()[-300:]}")}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _rows(url: str) -> dict[str, list[dict[str, Any]]]:
    store = Store(url)
    try:
        found: dict[str, list[dict[str, Any]]] = {}
        for row in store.query("SELECT * FROM llm_traces ORDER BY created_at"):
            found.setdefault(row["step_id"], []).append(row)
        return found
    finally:
        store.close()


def _path(entry: type[Sdk], given: argparse.Namespace) -> str | None:
    """Return the folder of an SDK, "" if the environment has it, None if it is not installed."""
    if not entry.requirement:
        return ""
    folder = given.target / entry.requirement.partition("[")[0].replace(" ", "-")
    if not folder.is_dir() and given.install:
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder)]
        if subprocess.run([*command, *entry.requirement.split()], check=False).returncode:
            return None
    return str(folder) if folder.is_dir() else None


def rendered(table: Table, versions: dict[str, str]) -> str:
    """Return the table in Markdown."""
    lines = ["| SDK | version | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 2) + "|"]
    for name, cells in table.items():
        marks = [MARKS.get(said, "✗") for said in cells.values()]
        lines.append(f"| {name} | {versions[name]} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
