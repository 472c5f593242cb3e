"""All entries of the table, by name."""

from __future__ import annotations

from typing import Final

from tests.sdk_table import of_compatible, of_frameworks, of_grpc, of_providers
from tests.sdk_table.sdk import Sdk

ENTRIES: Final[dict[str, type[Sdk]]] = {
    entry.name: entry
    for entry in (*of_compatible.ENTRIES, *of_providers.ENTRIES, *of_frameworks.ENTRIES, *of_grpc.ENTRIES)
}
