"""Which hosts were hooked since when."""

from __future__ import annotations

from time import time

import pytest

from llmledger.instrumentation import recent


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_started", {})


@pytest.mark.parametrize(
    "address",
    ["https://API.one.example/v1", "api.one.example", "https://u:p@api.one.example:443/x?key=1", ""],
)
def test_an_exchange_is_found_by_the_address_of_its_host(address: str) -> None:
    before = time()
    recent.started("https://api.one.example/v1/chat/completions")
    assert recent.was_hooked(address, before)
    assert not recent.was_hooked(address, time() + 60)


def test_another_host_or_port_was_not() -> None:
    recent.started("http://localhost:4000/v1/messages")
    assert not recent.was_hooked("http://localhost:4001", 0.5)
    assert recent.was_hooked("http://localhost:4000", 0.5)


def test_any_number_of_hosts_takes_bounded_memory() -> None:
    for number in range(2 * recent.MOST_HOSTS):
        recent.started(f"https://h{number}.example/")
    assert len(recent._started) == recent.MOST_HOSTS
