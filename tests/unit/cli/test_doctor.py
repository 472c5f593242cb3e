"""What the doctor makes of what it finds: a state, and the next step for what is not well."""

from __future__ import annotations

import pytest

from llmledgerd.cli import doctor
from llmledgerd.config.settings import Config


def test_versions_that_differ_are_a_warning() -> None:
    assert doctor.versions("1", "1").state == "ok"
    assert doctor.versions("1", "2").state == "warn"


def test_an_application_that_sends_elsewhere_is_told_the_variable_to_set() -> None:
    found = doctor.client(None, "/run/own/l.sock", is_disabled=False)
    assert found.state == "warn"
    assert found.next_step == "set LLMLEDGER_SOCKET=/run/own/l.sock for the application"
    assert doctor.client("/run/own/l.sock", "/run/own/l.sock", is_disabled=False).state == "ok"
    assert doctor.client(None, "/x", is_disabled=True).state == "warn"


@pytest.mark.parametrize(("ahead", "state"), [(0.2, "ok"), (-4.0, "ok"), (60.0, "warn"), (-60.0, "warn")])
def test_a_clock_that_differs_is_a_warning(ahead: float, state: str) -> None:
    assert doctor.clock(ahead).state == state


def test_a_full_disk_fails() -> None:
    config = Config()
    assert doctor.disk(config, None, 1 << 20).state == "fail"
    assert doctor.disk(config, None, 1 << 40).state == "ok"
    assert doctor.disk(config, None, None).state == "warn"
