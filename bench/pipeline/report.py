"""Figures as tables, as JSON and as pictures. Knows nothing of how they were measured."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.pipeline.ways import Figures

console = Console(width=140, highlight=False)
Runs = dict[str, list[Figures]]
"""By way: one entry for each round."""


class Summary(msgspec.Struct):
    """Medians over the rounds; the peaks are the highest."""

    records_per_second: float
    megabytes_per_second: float
    receiver_cpu_us: float
    engine_cpu_us: float
    peak_mib: float
    peak_disk_mib: float
    rounds: int


def summary(runs: Sequence[Figures]) -> Summary:
    """Return what is printed of one way."""

    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    return Summary(
        records_per_second=middle([run.per_second for run in runs]),
        megabytes_per_second=middle([run.bytes / run.seconds / 1e6 for run in runs]),
        receiver_cpu_us=middle([run.receiver_cpu_us for run in runs]),
        engine_cpu_us=middle([run.engine_cpu_us for run in runs]),
        peak_mib=max(run.receiver.peak_mib for run in runs),
        peak_disk_mib=max(run.receiver.peak_disk_bytes for run in runs) / 2**20,
        rounds=len(runs),
    )


def ratio(runs: Runs, way: str, other: str) -> float:
    """Return the median over the rounds of one way's speed by another's, of the same round."""
    pairs = zip(runs[way], runs[other], strict=True)
    return statistics.median([one.per_second / two.per_second for one, two in pairs])


def cpu_ratio(runs: Runs, way: str, other: str) -> float:
    """The same of the receiver's CPU per record."""
    pairs = zip(runs[way], runs[other], strict=True)
    return statistics.median([one.receiver_cpu_us / two.receiver_cpu_us for one, two in pairs])


def print_ways(title: str, runs: Runs) -> None:
    """Print a table of all ways."""
    table = Table(title=title, title_justify="left")
    for name in ("", "records/s", "MB/s", "CPU µs, receiver", "CPU µs, engine", "peak MiB", "disk MiB"):
        table.add_column(name, justify="right" if name else "left")
    for way, figures in runs.items():
        s = summary(figures)
        numbers = (s.records_per_second, s.megabytes_per_second, s.receiver_cpu_us, s.engine_cpu_us)
        peaks = (s.peak_mib, s.peak_disk_mib)
        table.add_row(
            way,
            *(f"{number:,.0f}" for number in numbers),
            *(f"{peak:,.0f}" if peak else "" for peak in peaks),
        )
    console.print(table)


def print_ratio(what: str, value: float, target: str) -> None:
    """Print one figure that has a target."""
    console.print(f"  {what}: [bold]{value:.2f}[/bold]  (wanted: {target})")


def write(folder: Path, name: str, figures: object) -> None:
    """Write figures as JSON, with what they were measured on."""
    folder.mkdir(parents=True, exist_ok=True)
    where = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    document = msgspec.json.encode({"measured_on": where, "figures": figures})
    (folder / f"{name}.json").write_bytes(msgspec.json.format(document, indent=1) + b"\n")


def draw_bars(folder: Path, name: str, title: str, unit: str, bars: dict[str, dict[str, float]]) -> None:
    """Draw a picture of groups of bars: group -> way -> value, on a logarithmic scale."""
    import matplotlib as mpl  # here, since it takes a second to import

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(bars), figsize=(4.2 * len(bars), 4), squeeze=False)
    for axis, (group, ways) in zip(axes[0], bars.items(), strict=True):
        names = list(ways)
        colors = ["#2563eb" if way.startswith("llmledgerd") else "#94a3b8" for way in names]
        drawn = axis.barh(names, list(ways.values()), color=colors)
        axis.bar_label(drawn, labels=[f" {value:,.0f}" for value in ways.values()], fontsize=8)
        axis.set_xscale("log")
        axis.margins(x=0.25)
        axis.invert_yaxis()
        axis.set_title(group, fontsize=10)
        axis.set_xlabel(unit, fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=12)
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=120)
    pyplot.close(figure)
