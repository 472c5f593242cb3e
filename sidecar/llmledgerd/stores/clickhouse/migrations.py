"""Migrations: numbered SQL files, applied in order, once, forward only.

Invariants:
- A file is recorded after its last statement, and every statement may run twice; so a file that
  was half applied, by a crash or by two migrations at once, is applied again and ends the same.
- A file that was applied never changes; what changes is added by a later one, and a later one adds
  columns and tables only, so that an older daemon goes on working.
- One text makes both forms, and a table has one form for ever: one server's, or a cluster's, where
  each shard has a table ``…_local`` and everybody uses a Distributed one of the plain name.
- What a store has beyond the files, or was made without them, is left alone: `check` asks for the
  tables and columns that are needed, not for how they came about.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping

import msgspec

from llmledgerd.errors import ConfigError
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.topology import DDL_SETTINGS, LOCAL
from llmledgerd.stores.ddl import SqlFile, checksum, split

TTL_COLUMN = "toDateTime(ingested_at)"  # a TTL takes no DateTime64 on servers before 24.x
REPLICATED = "ReplicatedMergeTree"
SHARDED = "{sharded}"
"""Beginning of statements that only a cluster needs."""

SYNCED = {
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    "min_rows_to_fsync_after_merge": 1,
    "min_compressed_bytes_to_fsync_after_merge": 1,
    "min_compressed_bytes_to_fsync_after_fetch": 1,
}
"""Settings that make rows survive a power failure, before and after parts are merged."""

RECORDS = (
    "CREATE TABLE IF NOT EXISTS llmledger_migrations {on_cluster}"
    " (name String, checksum String, applied_at DateTime64(6, 'UTC')) ENGINE = {shared_engine} ORDER BY name"
    f" SETTINGS {', '.join(f'{name} = {value}' for name, value in SYNCED.items())}, old_parts_lifetime = 480"
)


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Values of the placeholders in the SQL files. The defaults are for one server."""

    ttl_days: int = 0
    """Days to keep a row of ``llm_traces`` after its receipt; 0 for no limit."""
    cluster: str = ""
    on_cluster: str = ""
    engine: str = "MergeTree"
    """Engine of tables that are sharded."""
    shared_engine: str = "MergeTree"
    """Engine of small tables that every host has in full."""

    @property
    def local(self) -> str:
        """Suffix of the shards' local tables."""
        return LOCAL if self.cluster else ""

    @property
    def ddl_settings(self) -> Mapping[str, object]:
        """Settings of every statement of a migration."""
        return DDL_SETTINGS if self.cluster else {}

    def fill(self, template: str) -> str:
        """Return the SQL with its placeholders replaced; other braces are left as they are."""
        values = {
            "cluster": self.cluster,
            "on_cluster": self.on_cluster,
            "local": self.local,
            "engine": self.engine,
            "aggregating_engine": self.engine.replace("MergeTree", "AggregatingMergeTree", 1),
            "shared_engine": self.shared_engine,
            "ttl": self._ttl(),
        }
        return re.sub(rf"\{{({'|'.join(values)})\}}", lambda found: values[found[1]], template)

    def _ttl(self) -> str:
        return f"TTL {TTL_COLUMN} + toIntervalDay({self.ttl_days})" if self.ttl_days else ""


def layout_of(ttl_days: int, cluster: str = "") -> Layout:
    """Return the layout of one server, or of a cluster by its name in ``system.clusters``.

    The servers fill in their own ``{shard}`` and ``{replica}``, as their configuration has them.
    """
    if not cluster:
        return Layout(ttl_days=ttl_days)
    return Layout(
        ttl_days=ttl_days,
        cluster=cluster,
        on_cluster=f"ON CLUSTER '{cluster}'",
        # By the table's own id, so that it can be renamed or exchanged.
        engine="ReplicatedMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}')",
        # Replicas are often numbered anew in each shard, and here all hosts are replicas of one table.
        shared_engine="ReplicatedMergeTree('/clickhouse/tables/{uuid}/all', '{shard}-{replica}')",
    )


class Migration(SqlFile, frozen=True):
    """One SQL file with placeholders that a layout fills."""

    def statements(self, layout: Layout) -> list[str]:
        """Return the file's statements for one layout."""
        found = split(layout.fill(self.template))
        wanted = [part for part in found if layout.cluster or not part.startswith(SHARDED)]
        return [part.removeprefix(SHARDED).lstrip() for part in wanted]

    def checksum(self) -> str:
        """Return the checksum of the form for one server: the layout does not count."""
        return checksum(self.statements(Layout()))


def pending(store: Store, files: Collection[Migration] | None = None) -> list[Migration]:
    """Return the files that the store has not recorded, in order.

    Raises ConfigError where a recorded file is not what it was, and StoreBusy.
    """
    recorded = _recorded(store)
    todo = []
    for migration in Migration.load() if files is None else files:
        checksums = recorded.get(migration.name)
        if not checksums:
            todo.append(migration)
        elif migration.checksum() not in checksums:
            raise ConfigError(
                f"{migration.name} was applied with different content; applied files must not change"
            )
    return todo


def apply(store: Store, layout: Layout, files: Collection[Migration] | None = None) -> list[str]:
    """Create what is missing, and set the TTL; return what was done, in words for people.

    Raises ConfigError, and StoreBusy where the store is away or refuses.
    """
    if layout.cluster and store.is_embedded:
        raise ConfigError("cluster: not applicable to an embedded store")
    store.create_database(layout.on_cluster)
    layout = _in_database(store, layout)
    _refuse_another_form(store, layout)
    store.run(layout.fill(RECORDS), settings=layout.ddl_settings)
    done = []
    for migration in pending(store, files):
        for statement in migration.statements(layout):
            store.run(statement, settings=layout.ddl_settings)
        record = (migration.name, migration.checksum(), time.time_ns() // 1000)
        store.insert(
            "llmledger_migrations", ("name", "checksum", "applied_at"), [record], token=migration.name
        )
        done.append(f"applied {migration.name}")
    done += _set_ttl(store, layout)
    _refuse_strangers(store, layout)
    return done


def _in_database(store: Store, layout: Layout) -> Layout:
    """Return the layout for the engine of the database.

    A database of the engine Replicated runs each statement on all its hosts, and refuses replicated tables
    with arguments, since it names their paths itself; a plain MergeTree would be a table of its own on each.
    """
    rows = store.query("SELECT engine FROM system.databases WHERE name = currentDatabase()")
    if not rows or rows[0]["engine"] != "Replicated":
        return layout  # in ClickHouse Cloud a plain MergeTree becomes a SharedMergeTree
    if layout.cluster:
        raise ConfigError("the database has the engine Replicated: leave `cluster` empty")
    return msgspec.structs.replace(layout, engine=REPLICATED, shared_engine=REPLICATED)


def _refuse_strangers(store: Store, layout: Layout) -> None:
    """Raise ConfigError where replicas of one shard have a table each: a host that was added later."""
    if not layout.cluster:
        return
    rows = store.query(
        f"SELECT DISTINCT table FROM clusterAllReplicas('{layout.cluster}', system.replicas)"  # noqa: S608 - the cluster's own name
        " WHERE database = currentDatabase() AND startsWith(table, 'llm')"
        " GROUP BY table, if(endsWith(table, {local:String}), extract(zookeeper_path, '[^/]+$'), '')"
        " HAVING uniqExact(zookeeper_path) > 1 ORDER BY table",
        {"local": LOCAL},
        settings={"skip_unavailable_shards": 1},
    )
    if rows:
        names = ", ".join(str(row["table"]) for row in rows)
        raise ConfigError(
            f"hosts of the cluster have tables of their own instead of replicas: {names}; drop them on the host"
            " that was added, and create them there with the UUID of the others (docs/clusters.md)"
        )


def _refuse_another_form(store: Store, layout: Layout) -> None:
    """Raise ConfigError where the tables are one server's and a cluster's are wanted, or the reverse."""
    if not store.columns("llm_traces"):
        return
    cluster = store.placement("llm_traces").cluster
    if cluster and not layout.cluster:
        raise ConfigError(f"the tables are those of cluster {cluster}; set `cluster` to it")
    if layout.cluster and not cluster:
        raise ConfigError(
            f"the tables are those of one server, and never become those of cluster {layout.cluster};"
            " name another database, and move the rows there"
        )


def check(store: Store, needed: Mapping[str, Collection[str]]) -> list[str]:
    """Return what the store lacks of the tables and columns needed, a sentence each; empty if nothing.

    Raises StoreBusy where the store cannot be asked.
    """
    missing = []
    for table, columns in needed.items():
        present = store.columns(table)
        lacking = [name for name in columns if name not in present]
        if not present:
            missing.append(f"missing table {table}; run `llmledgerd migrate`")
        elif lacking:
            missing.append(f"the table {table} lacks {', '.join(lacking)}; run `llmledgerd migrate`")
    return missing


def unsynced(store: Store) -> list[str]:
    """Return which tables of the database a power failure may take rows from, a sentence each.

    Raises StoreBusy where the store cannot be asked.
    """
    settings = {
        row["name"]: row["value"]
        for row in store.query(
            "SELECT name, value FROM system.merge_tree_settings WHERE name IN {names:Array(String)}",
            {"names": list(SYNCED)},
        )
    }
    found = []
    for row in store.query(
        "SELECT name, engine_full FROM system.tables"
        " WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name"
    ):
        own = dict(re.findall(r"(\w+) = (\d+)", row["engine_full"].rpartition(" SETTINGS ")[2]))
        lacking = [name for name, least in SYNCED.items() if int({**settings, **own}.get(name, 0)) != least]
        if lacking:
            found.append(f"the table {row['name']} may lose rows to a power failure: no {', '.join(lacking)}")
    return found


def _recorded(store: Store) -> dict[str, set[str]]:
    if not store.columns("llmledger_migrations"):
        return {}
    found: dict[str, set[str]] = {}
    for row in store.query("SELECT name, checksum FROM llmledger_migrations"):
        found.setdefault(row["name"], set()).add(row["checksum"])
    return found


def ttl_days(store: Store) -> int | None:
    """Return the days after which rows of ``llm_traces`` expire, 0 for never; None without the table."""
    rows = store.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase()"
        " AND name IN ('llm_traces', 'llm_traces_local') ORDER BY name DESC LIMIT 1"
    )
    if not rows:
        return None
    found = re.search(r"\sTTL\s.*?toIntervalDay\((\d+)\)", rows[0]["engine_full"])
    return int(found[1]) if found else 0


def _set_ttl(store: Store, layout: Layout) -> list[str]:
    """Bring the TTL of ``llm_traces`` to the setting; an unchanged one is not touched, as it costs a mutation."""
    days = ttl_days(store)
    if days is None or days == layout.ttl_days:
        return []
    change = f"MODIFY {layout.fill('{ttl}')}" if layout.ttl_days else "REMOVE TTL"
    statement = layout.fill(f"ALTER TABLE llm_traces{{local}} {{on_cluster}} {change}")
    store.run(statement, settings=layout.ddl_settings)
    return [f"changed the TTL of llm_traces from {days or 'no'} to {layout.ttl_days or 'no'} days"]
