"""Kinds of store: found by name and by URL, and named nowhere but in their own package."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import llmledgerd
from llmledgerd.cli import daemon_commands
from llmledgerd.errors import ConfigError
from llmledgerd.stores import registry
from llmledgerd.stores.clickhouse.options import ClickHouseOptions
from tests.helpers.config import config as configured

PACKAGE = Path(llmledgerd.__file__).parent
LITERAL = re.compile(rf"""["']({"|".join(registry.KINDS)})["']|\b({"|".join(registry.KINDS)})_\w+""")


def test_no_module_outside_the_package_names_a_kind() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {hit[0]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "stores" not in path.parts
        for hit in LITERAL.finditer(path.read_text())
    ]
    assert not found


def test_every_kind_has_schemes_of_its_own_and_options_with_a_url() -> None:
    schemes = [scheme for kind in registry.KINDS.values() for scheme in kind.schemes]
    assert len(set(schemes)) == len(schemes)
    for name, kind in registry.KINDS.items():
        assert kind.name == name
        assert all(registry.kind_of(f"{scheme}://x") is kind for scheme in kind.schemes)
        assert "url" in kind.options_type.__struct_fields__


def test_a_url_of_no_kind_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError, match="chdb, http") as refused:
        registry.kind_of("mysql://me:hunter2@db/llm")
    assert "hunter2" not in str(refused.value)


def test_the_first_kind_is_the_store_of_settings_that_name_none() -> None:
    assert configured().stores == (next(iter(registry.KINDS)),)


def test_a_url_takes_the_place_of_the_store_of_its_kind() -> None:
    settings = configured(stores="postgres,clickhouse", postgres_url="postgresql://a/b")
    pointed = registry.pointed_at(settings, "http://other/db")
    assert pointed.stores == ("clickhouse", "postgres")
    assert pointed.options_of("clickhouse", ClickHouseOptions).url == "http://other/db"
    assert registry.first_address(pointed) == ("http://other/db", "")


@pytest.mark.parametrize("command", ["serve", "migrate", "check"])
def test_every_kind_has_an_option_for_its_url(command: str) -> None:
    names = set(inspect.signature(getattr(daemon_commands, command)).parameters)
    assert {f"{kind}_url" for kind in registry.KINDS} <= names
