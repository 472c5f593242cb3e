"""What recording costs the application, ours beside other ways to do it.

`python bench/client.py [--rounds N] [--seconds S] [--sizes 2000,20000] [--out FILE]` prints a table
and writes the figures as JSON. Ways: nothing (an empty function called with the same keywords at the
same pace: what pacing and cold caches cost whoever is called), bytes (ours, payloads as bytes), dicts
(ours, payloads as dicts), encode (``msgspec.json.encode`` of the whole record and nothing else),
threads (one thread, one connection, one ``json.dumps`` per record). Where they can be imported, also
opentelemetry (BatchSpanProcessor, payloads as attributes) and langfuse, with a folder of their own:
`pip install --target sdks opentelemetry-sdk opentelemetry-exporter-otlp-proto-http langfuse`, then
`PYTHONPATH=sdks python bench/client.py`. Bytes and threads come again with nobody at the socket, and
with a reader that stops after the hello.

Each is measured in a process of its own, in turns, and each figure is the median of the rounds: p50,
p99 and max in the calling thread while it is at work (for a millisecond, in Python, on the fields that
it then records), and p50 where it has just been asleep; CPU of the whole process per record, without
what the pacing takes; and by how much a record makes another thread's tick late, over an idle process
(see ``bench/client_subject.py``).

Read p50 beside that of nothing. On a machine that others share, and at 50 records a second and less,
an empty function takes 10 to 25 microseconds out of the same pause: of caches and page tables that
hold something else by then, which ``bench/cold.py`` measures without a pace.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
RATES = {2_000: 500.0, 20_000: 250.0, 200_000: 50.0, 2_000_000: 10.0}
"""Records a second, by size in bytes: as much as a busy application's, and far from the limit."""

NEEDS = {
    "opentelemetry": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "langfuse": "langfuse",
}
"""The module that a way needs."""

Figures = dict[str, float]


def environment() -> dict[str, str]:
    """Let what is started import this repository, installed or not."""
    own = os.pathsep.join([str(ROOT), str(ROOT / "client"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": own}


@contextmanager
def sink(path: Path, mode: str) -> Iterator[int]:
    """Run the other end; give the port of its HTTP side."""
    if mode == "nobody":
        yield 0
        return
    command = [sys.executable, "-m", "bench.client_sink", str(path)]
    command += ["stalls"] if mode == "stalled" else []
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.communicate("\n")
            path.unlink(missing_ok=True)


def measure(name: str, size: int, mode: str, seconds: float) -> Figures:
    """Run one way once."""
    rate = RATES[size]
    with tempfile.TemporaryDirectory() as folder, sink(Path(folder) / "s", mode) as port:
        values = [name, size, rate, round(rate * seconds), Path(folder) / "s", port]
        fills = "paces" if mode == "reading" else "fills"
        command = [sys.executable, "-m", "bench.client_subject", *map(str, values), fills]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, check=False
        )
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr}")
    figures: Figures = json.loads(done.stdout)
    return figures


def is_importable(module: str) -> bool:
    """Return whether a module is there."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is its package
        return False


def ways() -> list[tuple[str, str]]:
    """Return what can be measured here: the way, and who is at the other end."""
    others = [(name, "reading") for name, needed in NEEDS.items() if is_importable(needed)]
    reading = [(name, "reading") for name in ("nothing", "bytes", "dicts", "encode", "threads")]
    return (
        reading + others + [(name, mode) for mode in ("nobody", "stalled") for name in ("bytes", "threads")]
    )


def medians(rounds: list[Figures]) -> Figures:
    """Return each figure's median, the last in the calling thread's maximum its maximum."""
    result = {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}
    result["max_us"] = max(figures["max_us"] for figures in rounds)
    return result


HEAD = (
    f"{'':34}{'p50 µs':>9}{'p99 µs':>9}{'max µs':>10}{'asleep':>9}{'CPU µs':>9}{'stall ms':>10}{'lost':>12}"
)


def row(name: str, mode: str, figures: Figures) -> str:
    """Return one line of the table."""
    title = name if mode == "reading" else f"{name}, {mode}"
    memory = (
        "   buffer {held_mib:.0f} MiB, memory {memory_mib:.0f} MiB".format_map(figures)
        if "held_mib" in figures
        else ""
    )
    return (
        f"  {title:32}{figures['p50_us']:9.1f}{figures['p99_us']:9.0f}{figures['max_us']:10.0f}"
        f"{figures['asleep_p50_us']:9.1f}{figures['cpu_us']:9.0f}{figures['stall_ms']:10.2f}{figures['lost']:6.0f} of {figures['of']:.0f}{memory}"
    )


def compare(size: int, rounds: int, seconds: float) -> dict[str, Figures]:
    """Measure all ways for one size, in turns, and print them."""
    seen: dict[tuple[str, str], list[Figures]] = {way: [] for way in ways()}
    for _ in range(rounds):
        for (name, mode), figures in seen.items():
            figures.append(measure(name, size, mode, seconds))
    print(f"{size:,} bytes, {RATES[size]:g} records/s\n{HEAD}")
    result = {way: medians(figures) for way, figures in seen.items()}
    for (name, mode), median in result.items():
        print(row(name, mode, median), flush=True)
    return {f"{name}, {mode}": median for (name, mode), median in result.items()}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="the length of each paced run")
    parser.add_argument("--sizes", default=",".join(map(str, RATES)))
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/client.json")
    chosen = parser.parse_args()
    for name, module in NEEDS.items():
        if not is_importable(module):
            print(f"without {name}: no module {module}; see --help")
    result = {size: compare(int(size), chosen.rounds, chosen.seconds) for size in chosen.sizes.split(",")}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({"rates": RATES, "cores": os.cpu_count(), "figures": result}, indent=1))


if __name__ == "__main__":
    main()
