"""Run the scenes, or those that are named by number: ``python -m tests.chaos.hostile 1 2``."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import time
from types import ModuleType

from tests.chaos import hostile
from tests.chaos.hostile.stage import Stage
from tests.helpers.daemon import ROOT

LIMIT_SECONDS = 240.0
"""Of a scene whose module has no LIMIT_SECONDS of its own."""


def scenes() -> list[str]:
    """Return the names of the scenes' modules, in order."""
    return sorted(
        found.name for found in pkgutil.iter_modules(hostile.__path__) if found.name.startswith("scene_")
    )


def play(name: str) -> None:
    """Run one scene in this process; print what it says."""
    with Stage() as stage:
        print(_module(name).run(stage))


def title(name: str) -> str:
    return (_module(name).__doc__ or "").strip().splitlines()[0]


def limit_seconds(name: str) -> float:
    """Return how long a scene may take."""
    return float(getattr(_module(name), "LIMIT_SECONDS", LIMIT_SECONDS))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{hostile.__name__}.{name}")


def tried(name: str) -> bool:
    """Run one scene in a process of its own, and say how it went."""
    began, limit = time.monotonic(), limit_seconds(name)
    command = [sys.executable, "-m", hostile.__name__, "--play", name]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)
        passed, out = done.returncode == 0, done.stdout if done.returncode == 0 else done.stderr
    except subprocess.TimeoutExpired:
        passed, out = False, f"no end after {limit:.0f} s"
    last = (out.strip().splitlines() or ["it said nothing"])[-1][:300]
    print(f"{'held' if passed else 'FELL'}  {name}  {time.monotonic() - began:.0f} s")
    print(f"      {title(name)}\n      {last}", flush=True)
    return passed


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--play"]:
        play(arguments[1])
        return 0
    wanted = {int(number) for number in arguments}
    chosen = [name for name in scenes() if not wanted or int(name.split("_")[1]) in wanted]
    fell = [name for name in chosen if not tried(name)]
    print(f"{len(chosen) - len(fell)} held, {len(fell)} fell")
    return 1 if fell else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
