"""All entries of the table, by name."""

from __future__ import annotations

from typing import Final

from tests.sdk_table import of_compatible, of_frameworks, of_grpc, of_more, of_providers
from tests.sdk_table.sdk import Sdk

ENTRIES: Final[dict[str, type[Sdk]]] = {
    entry.name: entry
    for module in (of_compatible, of_providers, of_frameworks, of_grpc, of_more)
    for entry in module.ENTRIES
}
