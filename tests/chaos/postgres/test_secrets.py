"""A password file that nobody can read as text, at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.postgres.books import balance
from tests.chaos.postgres.stage import restart, send
from tests.helpers.daemon import DaemonDied
from tests.helpers.object_storage import Folder
from tests.helpers.postgres import query
from tests.helpers.two_stores import TwoStores

pytestmark = pytest.mark.chaos


def test_a_start_with_a_password_file_that_is_not_utf_8_fails_and_costs_nothing(
    two: TwoStores, storage: Folder, tmp_path: Path
) -> None:
    query(two.postgres_url, "ALTER TABLE provider_traces RENAME TO away")
    send(two, "a", 5)
    two.settled("clickhouse", 5)
    secret = tmp_path / "password"
    secret.write_bytes(b"caf\xe9\n")
    with pytest.raises(DaemonDied, match="not UTF-8"):
        restart(two, postgres_password_file=secret)
    assert two.daemon.wait() != 0
    secret.write_text("right")
    query(two.postgres_url, "ALTER TABLE away RENAME TO provider_traces")
    two.daemon.start()
    two.settled("postgres", 5)
    balance(two, storage)
