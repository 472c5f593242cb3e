"""Erasure of the objects of calls.

Invariant: only objects under the configured URL are deleted. If a row refers to another place, nothing is
deleted: the operator has to configure that place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmledgerd.errors import LlmledgerdError
from llmledgerd.payloads import names

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects


class ErasableObjects:
    """Object storage as ``erasure.Objects``."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def delete_calls(self, uris: Sequence[str]) -> None:
        """Delete calls' objects. Raises LlmledgerdError for an object in another place, and StoreBusy."""
        found = {uri: names.name_within(self._objects.base, uri) for uri in uris}
        for uri, name in found.items():
            if name is None:
                raise LlmledgerdError(
                    f"{uri} does not lie in payload_store, so its row stays; nothing more is erased"
                )
        self._objects.delete([name for name in found.values() if name is not None])

    def delete_files(self, organization_id: str) -> None:
        """Delete all files that were cut out of an organization's payloads. Raises StoreBusy."""
        for page in self._objects.pages(names.files_of(organization_id)):
            self._objects.delete([found.name for found in page])
