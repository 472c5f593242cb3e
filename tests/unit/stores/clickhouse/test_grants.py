"""Which rights of a user reach beyond reading."""

from __future__ import annotations

import pytest

from llmledgerd.stores.clickhouse.grants import beyond_reading


@pytest.mark.parametrize(
    ("grant", "beyond"),
    [
        ("GRANT SELECT ON llm.* TO reader", []),
        ("GRANT SELECT(a, b), SHOW TABLES ON `llm`.llm_traces TO reader", []),
        ("GRANT SELECT ON system.functions TO reader", []),
        ("GRANT SELECT ON *.* TO reader", ["SELECT ON *.*"]),
        ("GRANT SELECT ON other.t TO reader", ["SELECT ON other.t"]),
        ("GRANT SELECT, INSERT ON llm.* TO daemon", ["INSERT ON llm.*"]),
        ("GRANT SOURCES ON *.* TO default", ["SOURCES ON *.*"]),
        ("GRANT FILE, URL ON *.* TO default WITH GRANT OPTION", ["FILE ON *.*", "URL ON *.*"]),
        ("GRANT a_role TO reader", ["GRANT a_role TO reader"]),
    ],
)
def test_a_right_that_is_not_one_of_reading_is_named(grant: str, beyond: list[str]) -> None:
    assert beyond_reading([grant], "llm") == beyond
