"""Rights of the user for operators' SQL, from the store's ``SHOW GRANTS``. Pure.

Invariant: a right that is not known to be read-only is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

GRANT: Final = re.compile(r"GRANT (?:ON CLUSTER \S+ )?(.*?) ON (.*?) TO .*", re.DOTALL)
READING: Final = re.compile(r"(SELECT|SHOW( [A-Z]+)*)(\(.*\))?")


def beyond_reading(grants: Iterable[str], database: str) -> list[str]:
    """Return the rights that reach beyond reading the database and ``system``, each once."""
    found: list[str] = []
    for grant in grants:
        parts = GRANT.fullmatch(grant)
        if parts is None:  # a role, whose rights SHOW GRANTS does not list
            found.append(grant)
            continue
        place = parts[2].replace("`", "").partition(".")[0]
        rights = re.split(r",\s*(?![^()]*\))", parts[1])
        found += [
            f"{right} ON {parts[2]}"
            for right in rights
            if READING.fullmatch(right) is None
            or (right.startswith("SELECT") and place not in (database, "system"))
        ]
    return list(dict.fromkeys(found))
