"""All DDL, the cluster's forms and every setting that is sent, tried on several versions of the engine.

``make engines`` installs each version into a folder of its own, and runs ``statements.py`` in a process with
that version. It prints one line for each version, and what the version refuses; it fails where a version at
or above the minimum refuses something, or does not know a setting that its answers rest on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from llmledgerd.stores.clickhouse.insert_settings import EVERY, MODES, TRANSPORT_SETTINGS
from llmledgerd.stores.clickhouse.migrations import RECORDS, Layout, Migration, layout_of
from llmledgerd.stores.clickhouse.question_settings import QUESTION, SHARED
from llmledgerd.stores.clickhouse.readonly_sql import LIMITS
from llmledgerd.stores.clickhouse.rollup import REBUILD_SETTINGS
from llmledgerd.stores.clickhouse.topology import CHANGE_SETTINGS, DDL_SETTINGS, Placement

VERSIONS = {"3.1.2": "24.8", "3.6.0": "25.5", "": "26.9"}
"""Versions of the package with the embedded engine, and the engine's own; the last is the one installed here."""

YOUNGER = {
    "deduplicate_insert",
    "deduplicate_insert_select",
    "enable_parallel_replicas",
    "use_query_condition_cache",
}
"""Settings that older versions do without: their predecessor is sent as well, or what they switch did not exist."""

READING = {name: value for name, value in LIMITS.items() if name != "readonly"}
"""What operators' SQL is run with; after ``readonly`` no other setting could be tried."""

SENT = {
    **EVERY,
    **MODES["sync"],
    **MODES["async"],
    **QUESTION,
    **SHARED,
    **REBUILD_SETTINGS,
    **DDL_SETTINGS,
    **CHANGE_SETTINGS,
    **READING,
}


def question() -> dict[str, object]:
    """Return what ``statements.py`` is asked to try."""
    cluster, single = layout_of(90, "c"), Layout(ttl_days=90)
    place = Placement("llm_traces_local", "c", is_replicated=True)
    of_files = [text for file in Migration.load() for text in file.statements(cluster)]
    return {
        "run": [
            single.fill(RECORDS),
            *(text for file in Migration.load() for text in file.statements(single)),
        ],
        "parse": [
            *of_files,
            cluster.fill(RECORDS),
            cluster.fill("ALTER TABLE llm_traces{local} {on_cluster} MODIFY {ttl}"),
            f"ALTER TABLE {place.changed} DELETE WHERE (id = 'x') AND 'mark' != ''",
            f"ALTER TABLE {place.changed} UPDATE _row_exists = 0 IN PARTITION ID 'x' WHERE id = 'x'",
            f"SELECT batch_row, groupUniqArray(_shard_num) FROM {place.everywhere} GROUP BY batch_row",
            f"SELECT name, rows FROM {place.on_every_host('system.parts')}",
            "SELECT path, name, value FROM system.zookeeper WHERE path IN ('/t/quorum', '/t/quorum/parallel')",
            "SYSTEM SYNC REPLICA llm_traces LIGHTWEIGHT",
            "SYSTEM FLUSH ASYNC INSERT QUEUE",
        ],
        "settings": {name: str(value) for name, value in SENT.items() if name not in TRANSPORT_SETTINGS},
    }


def try_version(package: str, expected: str, folder: Path) -> list[str]:
    """Return what the version refuses, a sentence each."""
    environment = dict(os.environ)
    if package:
        target = folder / package
        install = ["pip", "install", "--quiet", "--no-deps", "--target", str(target), f"chdb=={package}"]
        subprocess.run([sys.executable, "-m", *install], check=True)
        environment["PYTHONPATH"] = str(target)
    script = Path(__file__).with_name("statements.py")
    data = folder / f"data-{expected}"
    run = subprocess.run(
        [sys.executable, str(script), str(data)],
        input=json.dumps(question()), capture_output=True, text=True, env=environment, check=True, timeout=300,
    )  # fmt: skip
    answer = json.loads(run.stdout.splitlines()[-1])
    wrong = [f"{text[:100]}: {why}" for text, why in answer["refused"].items()]
    wrong += [f"the setting {name} is unknown" for name in answer["unknown"] if name not in YOUNGER]
    if not str(answer["version"]).startswith(expected):
        wrong.append(f"this is {answer['version']}")
    print(
        f"{answer['version']}: {len(wrong)} refused; does without {', '.join(answer['unknown']) or 'nothing'}"
    )
    return wrong


def main() -> None:
    """Try every version; end with status 1 where one refuses something."""
    with tempfile.TemporaryDirectory() as folder:
        wrong = [
            f"{expected}: {sentence}"
            for package, expected in VERSIONS.items()
            for sentence in try_version(package, expected, Path(folder))
        ]
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
