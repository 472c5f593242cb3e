from __future__ import annotations

from pathlib import Path

import pytest

from llmledgerd.admin.auth import new
from llmledgerd.otlp.access import Access, Denied, Gate


def gate(tmp_path: Path, *entries: str) -> Gate:
    path = tmp_path / "tokens.toml"
    path.write_text("\n".join(entries or [new(["another"])[1]]))
    return Gate(str(path))


def test_on_this_host_everybody_may_send_for_everybody(tmp_path: Path) -> None:
    assert gate(tmp_path).access({}, is_local=True).organization("acme") == "acme"


def test_a_web_page_may_send_nowhere(tmp_path: Path) -> None:
    with pytest.raises(Denied) as denied:
        gate(tmp_path).access({"Origin": "https://example.com"}, is_local=True)
    assert denied.value.status == 403


@pytest.mark.parametrize("sent", ["", "Bearer wrong", "Basic abc"])
def test_elsewhere_a_token_of_the_file_is_required(tmp_path: Path, sent: str) -> None:
    with pytest.raises(Denied) as denied:
        gate(tmp_path).access({"Authorization": sent}, is_local=False)
    assert denied.value.status == 401


def test_a_token_sends_for_its_organizations_alone(tmp_path: Path) -> None:
    token, entry = new(["acme"])
    access = gate(tmp_path, entry).access({"Authorization": f"Bearer {token}"}, is_local=False)
    assert access.organization("") == "acme"
    assert access.organization("acme") == "acme"
    with pytest.raises(ValueError, match="does not allow"):
        access.organization("globex")


def test_a_token_of_several_organizations_needs_one_to_be_named() -> None:
    access = Access(frozenset({"acme", "globex"}))
    assert access.organization("globex") == "globex"
    with pytest.raises(ValueError, match="organization"):
        access.organization("")


def test_a_token_for_metrics_sends_nothing(tmp_path: Path) -> None:
    token, entry = new([], metrics=True)
    with pytest.raises(Denied) as denied:
        gate(tmp_path, entry).access({"Authorization": f"Bearer {token}"}, is_local=False)
    assert denied.value.status == 403
