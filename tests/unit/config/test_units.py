"""Sizes and times as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.config.units import SIZES, plain, size
from llmledgerd.errors import ConfigError
from llmledgerd.stores import registry


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("spool_max_bytes", "10GB", 10 * 10**9),
        ("spool_max_bytes", "512MiB", 512 << 20),
        ("spool_max_bytes", "1.5 gib", 3 << 29),
        ("spool_max_bytes", "2Gi", 2 << 30),
        ("spool_max_bytes", "1000000", 1_000_000),
        ("drain_timeout_seconds", "20s", 20.0),
        ("drain_timeout_seconds", "5m", 300.0),
        ("drain_timeout_seconds", "200ms", 0.2),
        ("drain_timeout_seconds", "2.5", 2.5),
        ("group_interval_ms", "5ms", 5.0),
        ("dead_letters_max_age_days", "2w", 14),
    ],
)
def test_a_unit_is_read_in_the_environment_in_flags_and_in_the_file(
    name: str, written: str, meant: float, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'{name} = "{written}"\n')
    of_environment, _ = registry.load(environment={f"LLMLEDGER_{name.upper()}": written})
    of_flag, _ = registry.load(environment={}, assigned={name: written})
    of_file, _ = registry.load(file, environment={})
    assert [getattr(one, name) for one in (of_environment, of_flag, of_file)] == [meant] * 3


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("spool_max_bytes", "ten"),
        ("spool_max_bytes", "10XB"),
        ("spool_max_bytes", "10G"),
        ("spool_max_bytes", "1.5"),
        ("spool_max_bytes", "-1"),
        ("spool_max_bytes", "0"),
        ("drain_timeout_seconds", "20 parsecs"),
        ("dead_letters_max_age_days", "5m"),
        ("on_full", "explode"),
        ("fsync", "perhaps"),
    ],
)
def test_nonsense_is_refused_by_its_source_its_setting_and_what_was_written(name: str, written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.load(environment={f"LLMLEDGER_{name.upper()}": written})
    said = str(caught.value)
    assert said.startswith(f"LLMLEDGER_{name.upper()}: `{name}`: ")
    assert f"`{written}`" in said


def test_a_flag_is_named_as_it_is_typed() -> None:
    with pytest.raises(ConfigError, match=r"^--socket: `socket_path`"):
        registry.load(environment={}, flags={"socket_path": 7})


def test_units_are_read_inside_lists_and_tables() -> None:
    assert plain("payload_rules", [{"above_bytes": "1MB", "mode": "inline"}]) == [
        {"above_bytes": "1000000", "mode": "inline"}
    ]
    assert plain("truncate_payload_bytes", {"response": "1KiB"}) == {"response": "1024"}
    assert plain("socket_path", "10GB") == "10GB"


@given(st.integers(min_value=0, max_value=10**6), st.sampled_from(sorted(SIZES)))
def test_a_size_is_its_number_times_its_unit(number: int, unit: str) -> None:
    assert int(size(f"{number}{unit}")) == number * SIZES[unit]
