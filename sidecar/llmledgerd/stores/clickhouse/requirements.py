"""What a server must let the daemon do, tried before anything is stored.

Invariant: a daemon stores nothing in a server that would shorten its answers, change its inserts, or is one
of several behind one address.
"""

from __future__ import annotations

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.insert_settings import EVERY, MODES
from llmledgerd.stores.clickhouse.question_settings import QUESTION
from llmledgerd.stores.clickhouse.sent_settings import pinned, refusal


def unmet(store: Store) -> list[str]:
    """Return what stands against storing records, a sentence each. Raises StoreBusy."""
    if store.is_embedded:
        return []
    found = []
    for address in store.addresses.in_turn():
        try:
            store.meet_servers(address)
        except StoreBusy as error:  # one that is away is met when it is back
            if error.kind == "servers":
                found.append(str(error))
    forced = {**EVERY, **MODES[store.insert_mode]}
    own = {name: value for name, value in store.settings_of_url.items() if name not in forced}
    forbidden = pinned({**forced, **QUESTION, **own}, store.declared_settings())
    return [*found, refusal(forbidden)] if forbidden else found
