from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

import llmledgerd
from llmledgerd.config.settings import Config
from llmledgerd.daemon import otlp
from llmledgerd.errors import ConfigError


def forget_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next import of it be the first, until the test ends."""
    if hasattr(llmledgerd, "otlp"):  # set by an import, beside ``sys.modules``
        monkeypatch.setattr(llmledgerd, "otlp", llmledgerd.otlp)
    for name in [name for name in sys.modules if name.startswith("llmledgerd.otlp")]:
        monkeypatch.delitem(sys.modules, name)


def config(*addresses: str, **more: Any) -> Config:
    return Config(otlp=addresses, socket_path="/run/x/s", **more)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (config("nowhere"), "otlp: `nowhere` is not a valid address"),
        (config("0.0.0.0:4318"), "set admin_tokens_file"),
        (config("[::]:4318"), "set admin_tokens_file"),
        (config("grpc:nowhere"), "otlp: `nowhere` is not a valid address"),
        (config("0.0.0.0:4317"), "set admin_tokens_file"),
        (config("grpc:0.0.0.0:9000"), "set admin_tokens_file"),
        (config("unix:/run/x/s"), "another socket of the daemon"),
        (config("unix:/run/x/admin.sock"), "another socket of the daemon"),
    ],
)
def test_an_address_that_cannot_be_served_is_refused_by_name(settings: Config, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        otlp.validate(settings)


@pytest.mark.parametrize(
    ("address", "extra", "missing"),
    [
        ("127.0.0.1:4318", "otlp", ("google", "opentelemetry")),
        ("127.0.0.1:4317", "otlp-grpc", ("grpc",)),
        ("grpc:127.0.0.1:9000", "otlp-grpc", ("grpc",)),
    ],
)
def test_without_the_extra_the_setting_names_it(
    address: str, extra: str, missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith(missing):
            raise ImportError(f"No module named {name}")
        return imported(name, *rest, **more)

    forget_the_package(monkeypatch)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=f"extra `{extra}`"):
        otlp.validate(config(address))


def test_without_addresses_nothing_of_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_the_package(monkeypatch)
    otlp.validate(config())
    assert not any(name.startswith("llmledgerd.otlp") for name in sys.modules)
