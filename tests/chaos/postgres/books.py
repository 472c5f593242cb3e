"""The books of a scene: what must be true at its end, whatever happened.

Invariant: in every store the rows are what was received, less its dead letters and losses; no row is there
twice; no row names an object that is missing; and each object has a row.
"""

from __future__ import annotations

from llmledgerd.payloads import names
from llmledgerd.query.erasure import ERASED_URI
from tests.helpers import admin, postgres
from tests.helpers.object_storage import ObjectStorage
from tests.helpers.two_stores import TwoStores
from tests.helpers.waiting import until

STORES = ("clickhouse", "postgres")


def balance(two: TwoStores, storage: ObjectStorage, *, left_objects: int = 0, replaced: int = 0) -> None:
    """Check the books of a daemon that runs, once nothing waits.

    ``replaced`` rows stood for calls whose records have come since.
    """
    until(lambda: not any(two.of(name)["in_spool"] for name in STORES), limit=90)
    for name in STORES:
        store, calls = two.of(name), two.calls(name)
        assert set(calls.values()) <= {1}, f"{name}: rows that are there twice"
        gone = store["dead_letters"] + store["lost"] + store["control_lines"] + replaced
        assert len(calls) == store["received"] - gone
        assert not store["trouble"], store["trouble"]
    assert admin.get(two.daemon.folder / "admin.sock", "/readyz")[0] == 200
    pointed = uris(two)
    objects = {name for name in storage.objects() if name.startswith(names.RECORDS)}
    assert pointed <= objects, "rows that name objects which are missing"
    assert len(objects - pointed) == left_objects, "objects without a row"


def uris(two: TwoStores) -> set[str]:
    """Return the names of objects in the rows of both stores."""
    found = two.table.query("SELECT payload_uri FROM llm_traces")
    found += postgres.query(two.postgres_url, "SELECT payload_uri FROM provider_traces")
    named = (str(row["payload_uri"]) for row in found)
    return {uri[uri.index(names.RECORDS) :] for uri in named if uri not in ("", ERASED_URI)}
