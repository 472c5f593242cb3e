"""Run the classes of attacks, and print how many were tried and how many got through."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys

from tests import security
from tests.security.attack import Attack

SHOWN = 20


def classes() -> list[str]:
    """Return the names of the classes, without their prefix."""
    prefix = "attack_"
    return sorted(
        found.name.removeprefix(prefix)
        for found in pkgutil.iter_modules(security.__path__)
        if found.name.startswith(prefix)
    )


def ran(name: str) -> Attack:
    """Run one class whole."""
    module = importlib.import_module(f"{security.__name__}.attack_{name}")
    with Attack(name) as attack:
        module.run(attack)
    return attack


def main(names: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CLASS", help=", ".join(classes()))
    chosen = parser.parse_args(names).names or classes()
    if unknown := set(chosen) - set(classes()):
        parser.error(f"unknown class: {', '.join(sorted(unknown))}")
    total = 0
    for name in chosen:
        attack = ran(name)
        total += len(attack.through) + len(attack.blind)
        controls = "".join(f"; without {what}: {found}" for what, found in attack.controls.items())
        end = f"  (not run: {attack.skipped})" if attack.skipped else ""
        print(
            f"{name:16} {attack.attempts:6} tried  {len(attack.through):4} through{controls}{end}", flush=True
        )
        for what in attack.blind:
            print(f"    the attacks find nothing without {what}")
        for what in attack.through[:SHOWN]:
            print(f"    {what[:200]}")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
