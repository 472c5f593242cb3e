"""Folders of records and files of secrets that others can read are named, with the command that mends it."""

from __future__ import annotations

from pathlib import Path

from llmledgerd.config.exposure import exposed
from tests.helpers.config import config as settings


def test_only_what_others_can_read_is_named(tmp_path: Path) -> None:
    spool, store, password = tmp_path / "spool", tmp_path / "a b", tmp_path / "password"
    spool.mkdir()
    store.mkdir()
    password.write_text("secret")
    config = settings(
        spool_dir=str(spool),
        clickhouse_url=f"chdb://{tmp_path}/a%20b",
        stores=("clickhouse", "postgres"),
        postgres_url="postgresql://u@h/d",
        postgres_password_file=str(password),
        payload_store=f"file://{tmp_path}/none",
    )
    for path, mode in ((spool, 0o700), (store, 0o700), (password, 0o600)):
        path.chmod(mode)
    assert exposed(config) == []
    for path, mode in ((spool, 0o750), (store, 0o705), (password, 0o640)):
        path.chmod(mode)
    assert exposed(config) == [
        f"spool_dir: {spool} is accessible to its group (0750); run chmod 700",
        f"clickhouse.url: {store} is accessible to all users (0705); run chmod 700",
        f"postgres.password_file: {password} is accessible to its group (0640); run chmod 600",
    ]


def test_a_store_on_a_server_has_no_folder(tmp_path: Path) -> None:
    config = settings(spool_dir=str(tmp_path / "none"), clickhouse_url="http://host/tmp")
    assert exposed(config) == []
