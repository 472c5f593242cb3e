"""Build the OpenTelemetry Collector with the components of ``collector.yaml``: ``python -m bench.peers.build FOLDER``.

It needs Go and its module proxy. The program is ``FOLDER/otelcol-peer``; Go's own caches are where ``go env`` says.
Compiling takes some minutes of CPU; ``GOFLAGS=-p=1`` leaves the other cores alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

MANIFEST = Path(__file__).with_name("collector.yaml")
BUILDER = "go.opentelemetry.io/collector/cmd/builder"


def manifest() -> dict[str, Any]:
    """Return the components and their versions, as the builder reads them."""
    found: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())
    return found


def build(folder: Path) -> Path:
    """Build into a folder; return the program."""
    go = shutil.which("go")
    if go is None:
        raise SystemExit("go is not on the PATH: https://go.dev/doc/install")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = manifest()
    sources = folder / "sources"
    wanted["dist"]["output_path"] = str(sources)
    written = folder / "manifest.json"  # the builder reads YAML, of which JSON is a part
    written.write_text(json.dumps(wanted, indent=1))
    builder = f"{BUILDER}@v{wanted['dist']['version']}"
    subprocess.run([go, "run", builder, "--skip-compilation", "--config", str(written)], check=True)
    program = folder / str(wanted["dist"]["name"])
    subprocess.run(
        [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(program.resolve()), "."],
        cwd=sources,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )
    return program


def main() -> None:
    """Build, and say how the program is handed to the benchmark and the tests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    program = build(parser.parse_args().folder.resolve())
    sys.stdout.write(f"export LLMLEDGER_TEST_COLLECTOR={program}\n")


if __name__ == "__main__":
    main()
