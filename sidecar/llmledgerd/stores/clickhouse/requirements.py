"""What a server must let the daemon do, tried before anything is stored.

Invariant: a daemon stores nothing in a server that would shorten its answers, change its inserts, hide rows
from it, refuse its statements, or is one of several behind one address.
"""

from __future__ import annotations

import time
from typing import Final

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.insert_settings import EVERY, MODES
from llmledgerd.stores.clickhouse.question_settings import QUESTION
from llmledgerd.stores.clickhouse.rights import needed
from llmledgerd.stores.clickhouse.sent_settings import pinned, refusal
from llmledgerd.stores.clickhouse.stored_rows import TRACES, StoredRows

SYNTAX_ERROR: Final = 62
RECENT_US: Final = 3_600_000_000
"""How old the parts are whose rows this user must see: those that a lost answer would be about."""


def unmet(store: Store) -> list[str]:
    """Return what stands against storing records, a sentence each. Raises StoreBusy."""
    if store.is_embedded:
        return []
    found = []
    for address in store.addresses.in_turn():
        try:
            store.meet_servers(address)
            StoredRows(store).refuse_hidden(time.time_ns() // 1000 - RECENT_US, address)
        except StoreBusy as error:  # one that is away is met when it is back
            if error.kind in ("servers", "hidden_rows"):
                found.append(str(error))
    forced = {**EVERY, **MODES[store.insert_mode]}
    own = {name: value for name, value in store.settings_of_url.items() if name not in forced}
    forbidden = pinned({**forced, **QUESTION, **own}, store.declared_settings())
    found += [refusal(forbidden)] if forbidden else []
    missing = missing_rights(store)
    return [*found, f"this user lacks rights (docs/clusters.md): {', '.join(missing)}"] if missing else found


def missing_rights(store: Store) -> list[str]:
    """Return the rights that the daemon needs and its user lacks; none where the server cannot say (before 24.10)."""
    database = str(store.query("SELECT currentDatabase() AS name")[0]["name"])
    found = []
    for right, on in needed(database, store.placement(TRACES), store.insert_mode):
        try:
            is_granted = store.text(f"CHECK GRANT {right} ON {on}").strip() == "1"
        except StoreBusy as error:
            if error.code == SYNTAX_ERROR:
                return []
            raise
        if not is_granted:
            found.append(f"{right} ON {on.replace('`', '')}")
    return found
