"""All of the pipeline's measurements, one table each.

``python -m bench.pipeline [throughput] [latency] [senders] [large] [busy] [growth] [backlog] [peers] [--rounds 5] [--share 1.0] [--quick]``.
Each round runs every way once, in turns, so that what the machine does meanwhile hits all alike; ratios
are medians over the rounds. Figures are written as JSON and as pictures under ``bench/results``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.pipeline import scenes
from bench.pipeline.backlog import backlog
from bench.pipeline.peers import peers
from bench.pipeline.report import console
from bench.pipeline.ways import ROOT, Bench
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.engine import running_engine

SCENES: dict[str, Callable[[scenes.Run], object]] = {
    "throughput": scenes.throughput,
    "latency": scenes.latency,
    "senders": scenes.senders,
    "large": scenes.large,
    "busy": scenes.busy,
    "growth": scenes.growth,
    "backlog": backlog,
    "peers": peers,
}


def main() -> None:
    """Measure what is asked for, or everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", nargs="*", choices=[*SCENES, []], help="else all of them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the records, where a run is to be short")
    parser.add_argument(
        "--quick", action="store_true", help="one round of a tenth: that it runs, not how fast"
    )
    parser.add_argument("--sizes", default="2000,20000,200000")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="llmledger-bench-") as name,
        running_engine(Path(name) / "engine") as engine,
    ):
        store = Store(engine.url, timeout_seconds=600)
        migrations.apply(store, migrations.Layout(ttl_days=90))
        run = scenes.Run(
            bench=Bench(engine, Path(name)),
            store=store,
            rounds=1 if chosen.quick else chosen.rounds,
            share=0.1 if chosen.quick else chosen.share,
            sizes=[int(size) for size in chosen.sizes.split(",")],
            out=chosen.out,
        )
        for scene in chosen.scenes or SCENES:
            began = time.perf_counter()
            SCENES[scene](run)
            console.print(f"[dim]{scene}: {time.perf_counter() - began:.0f} s[/dim]\n")


if __name__ == "__main__":
    main()
