"""One SDK's calls, in a process of its own: ``python -m tests.sdk_table.child NAME HOST WAY…``.

Each cell's name is the ``step_id`` of its rows. A last line of JSON says the SDK's version, which cells
raised, and what.
"""

from __future__ import annotations

import gc
import json
import logging
import signal
import sys
import traceback
import warnings
from importlib import metadata
from typing import NoReturn

import llmledger
from llmledger.instrumentation.safety import faults
from tests.sdk_table.entries import ENTRIES
from tests.sdk_table.sdk import WAYS, distribution

CELL_SECONDS = 180
"""The first call imports the SDK, which takes long on a busy machine."""


def _too_long(*_: object) -> NoReturn:
    raise TimeoutError(f"the call took {CELL_SECONDS} s")


def main(name: str, host: str, *ways: str) -> None:
    """Make the calls, and end when their records are durable."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    entry = ENTRIES[name]
    llmledger.instrument(hosts={host: entry.provider})
    raised: dict[str, str] = {}
    signal.signal(signal.SIGALRM, _too_long)
    for way in ways:
        signal.alarm(CELL_SECONDS)
        with llmledger.context(org_id="acme", step_id=f"{name}/{way}"):
            try:
                WAYS[way][0](entry(f"http://{host}"), entry.model)
            except Exception as error:  # noqa: BLE001 - an SDK may raise anything; it is the cell's finding
                frame = traceback.extract_tb(error.__traceback__)[-1]
                raised[way] = f"{type(error).__name__}: {str(error)[:300]} ({frame.filename}:{frame.lineno})"
        signal.alarm(0)
        gc.collect()
    if not llmledger.close(30):
        raised["close"] = "not everything was delivered"
    raised |= {f"fault of {function}": str(count) for function, count in faults.items()}
    version = metadata.version(distribution(entry))
    print("\n" + json.dumps({"version": version, "raised": raised}))


if __name__ == "__main__":
    main(*sys.argv[1:])
