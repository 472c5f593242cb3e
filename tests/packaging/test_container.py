"""The container: what its file promises, and, where one was built, what it does.

``deploy/container/build-and-try.sh`` builds the image and names it in LLMLEDGER_TEST_IMAGE. The image is
run as a container engine would: its own user, a root file system that is read-only, two folders that
are not, the daemon as PID 1; the network is the host's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import llmledger
from tests.helpers.engine import running_engine
from tests.helpers.waiting import until

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IMAGE = os.environ.get("LLMLEDGER_TEST_IMAGE", "")
OWN = {"run": "/run/llmledgerd", "state": "/var/lib/llmledgerd"}
"""The folders that may be written, by what they are called on the host."""
LIMIT_BYTES = 400_000_000
"""With Debian's own Python, and without an engine. Of it 176 MB are the base made by debootstrap."""

built = pytest.mark.skipif(not IMAGE, reason="deploy/container/build-and-try.sh builds an image and sets it")


def pins(name: str) -> dict[str, set[str]]:
    """Return what a file of constraints allows: hashes by name, version and marker."""
    found: dict[str, set[str]] = {}
    pin = ""
    for line in (ROOT / name).read_text().splitlines():
        if not line.startswith((" ", "#")):
            pin = line.rstrip(" \\")
        elif "--hash=" in line:
            found.setdefault(pin, set()).add(line.strip(" \\"))
    return found


@pytest.mark.parametrize("kind", ["build", "runtime", "embedded"])
def test_what_is_installed_is_what_was_tested_with(kind: str) -> None:
    tested = pins("constraints.txt")
    versions = {pin.partition(" ")[0]: hashes for pin, hashes in tested.items()}
    for pin, hashes in pins(f"constraints-{kind}.txt").items():
        assert hashes, pin
        assert hashes == versions[pin.partition(" ")[0]], f"make constraints: {pin}"


def test_the_image_has_no_engine_and_no_development_tools_unless_asked() -> None:
    names = {pin.partition("==")[0] for pin in pins("constraints-runtime.txt")}
    assert not names & {"chdb", "chdb-core", "pandas", "pytest", "mypy", "litellm", "nicegui", "hatchling"}
    assert "chdb" in {pin.partition("==")[0] for pin in pins("constraints-embedded.txt")}


def test_bases_are_pinned_and_the_user_is_a_number() -> None:
    bases = re.findall(r"^ARG PYTHON=(\S+)|^FROM (\S+)", DOCKERFILE, re.M)
    assert [base or ("argument" if "$" in stage else stage) for base, stage in bases] == [
        "docker.io/library/python:3.11.14-slim-bookworm",
        "argument",
        "argument",
    ]
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.M)


def test_what_may_be_written_are_two_volumes() -> None:
    (volumes,) = re.findall(r"^VOLUME (.+)$", DOCKERFILE, re.M)
    assert json.loads(volumes) == list(OWN.values())


def test_the_build_sees_nothing_that_it_does_not_name() -> None:
    first, *rest = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert first == "*"
    allowed = {line[1:] for line in rest if line.startswith("!")}
    copied = " ".join(re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M)).split()
    assert set(copied) == allowed


def buildah(*arguments: str) -> str:
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Container:
    """A container of the image, whose root is mounted, and whose two folders lie on the host."""

    def __init__(self, root: Path, settings: dict[str, str], folder: Path, *, has_tmp: bool = False) -> None:
        self._root = root
        self._has_tmp = has_tmp
        self._settings = settings
        self._folder = folder
        for name in OWN:
            (folder / name).mkdir()
            os.chown(folder / name, 10001, 10001)

    @property
    def socket(self) -> Path:
        return self._folder / "run" / "llmledgerd.sock"

    def command(self, *arguments: str) -> list[str]:
        """Return what runs a command of the image with everything read-only but its own folders."""
        root = shlex.quote(str(self._root))
        mounts = [f"mount --bind {root} {root}", f"mount -o remount,bind,ro {root}"]
        mounts += [f"mount --bind {self._folder / name} {self._root}{inside}" for name, inside in OWN.items()]
        mounts += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        if self._has_tmp:
            mounts.append(f"mount -t tmpfs tmpfs {root}/tmp")
        environment = [f"{name}={value}" for name, value in self._settings.items()]
        inside = shlex.join(
            ["chroot", "--userspec=10001:10001", str(self._root), "env", "-i", *environment, *arguments]
        )
        script = " && ".join([*mounts, f"exec {inside}"])
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of its own, with the same folders."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self._folder / "log").open("wb") as log:
            process = subprocess.Popen(self.command(*arguments), stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()  # and with it whatever is left inside
            process.wait()

    def log(self) -> str:
        return (self._folder / "log").read_text()


def terminate(process: subprocess.Popen[bytes]) -> int:
    """Send SIGTERM to PID 1 of the container, as its engine would; return its exit code."""
    (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert Path(f"/proc/{first}/status").read_text().partition("NSpid:")[2].split()[:2] == [first, "1"]
    os.kill(int(first), signal.SIGTERM)
    return process.wait(timeout=60)


@pytest.fixture(scope="module")
def image() -> dict[str, list[str]]:
    found = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    return {name: found.get(name) or [] for name in ("Env", "Entrypoint", "Cmd")} | {
        "Healthcheck": found["Healthcheck"]["Test"]
    }


@pytest.fixture(scope="module")
def working() -> Iterator[str]:
    name = buildah("from", "--pull-never", IMAGE)
    yield name
    buildah("rm", name)


@built
def test_the_image_runs_as_another_user_and_has_neither_compiler_nor_pip(working: str) -> None:
    tools = "for tool in gcc cc make pip; do command -v $tool && exit 1; done; id -u; llmledgerd --version"
    said = buildah("run", working, "--", "sh", "-c", tools).splitlines()
    assert said[0] == "10001"
    assert said[1].startswith("llmledgerd ")


@built
def test_the_image_is_small_and_remembers_no_registry(working: str) -> None:
    root = Path(buildah("mount", working))
    size = int(subprocess.check_output(["du", "-sb", root], text=True).split()[0])
    if not (root / "opt/llmledger/lib/python3.11/site-packages/chdb").exists():
        assert size < LIMIT_BYTES
    assert not list(root.glob("**/pip.conf"))


@built
def test_records_land_from_a_read_only_container_which_drains_at_sigterm(
    image: dict[str, list[str]], working: str, tmp_path: Path
) -> None:
    with running_engine(tmp_path / "engine") as engine:
        settings = dict(variable.split("=", 1) for variable in image["Env"])
        settings |= {"LLMLEDGER_CLICKHOUSE_URL": engine.url, "LLMLEDGER_BATCH_MAX_AGE_SECONDS": "600"}
        container = Container(Path(buildah("mount", working)), settings, tmp_path)
        assert container.run("touch", "/opt/llmledger/x").stderr.endswith("Read-only file system\n")
        assert container.run(*image["Healthcheck"][1:]).returncode == 1, "nobody is there yet"
        migrated = container.run("llmledgerd", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        with container.started(*image["Entrypoint"], *image["Cmd"]) as process:
            until(lambda: '"ready"' in container.log() or process.poll() is not None)
            client = llmledger.TraceClient(str(container.socket))
            for number in range(100):
                assert client.record(org_id="acme", agent_id=str(number), response={"model": "gpt-4o"})
            assert client.flush(timeout=30), container.log()
            client.close()
            # Nothing has been inserted yet, at this age of a batch: what follows is the drain.
            assert terminate(process) == 0, container.log()
        assert engine.query("SELECT uniqExact(agent_id), count() FROM default.llm_traces") == "100\t100"


@built
def test_the_health_check_follows_the_daemon(
    image: dict[str, list[str]], working: str, tmp_path: Path
) -> None:
    settings = dict(variable.split("=", 1) for variable in image["Env"])
    # A store that is away makes nobody ill.
    settings["LLMLEDGER_CLICKHOUSE_URL"] = "http://127.0.0.1:9/none"
    container = Container(Path(buildah("mount", working)), settings, tmp_path)
    check = image["Healthcheck"][1:]
    with container.started(*image["Entrypoint"], *image["Cmd"]) as process:
        until(lambda: container.run(*check).returncode == 0)
        assert "records wait in the spool" in container.run(*check, "--ready").stdout
        assert terminate(process) == 0
    assert container.run(*check).returncode == 1


@built
def test_the_embedded_engine_needs_a_tmp_beside_the_read_only_root(
    image: dict[str, list[str]], working: str, tmp_path: Path
) -> None:
    root = Path(buildah("mount", working))
    if not list(root.glob("opt/llmledger/lib/python3*/site-packages/chdb")):
        pytest.skip("built without EMBEDDED=1")
    settings = dict(variable.split("=", 1) for variable in image["Env"])
    container = Container(root, settings, tmp_path, has_tmp=True)
    with container.started(*image["Entrypoint"], *image["Cmd"]) as process:
        until(lambda: '"ready"' in container.log() or process.poll() is not None)
        client = llmledger.TraceClient(str(container.socket))
        assert client.record(org_id="acme", agent_id="embedded", response={"model": "gpt-4o"})
        assert client.close(timeout=30), container.log()
        until(lambda: "embedded" in container.run("llmledger", "traces", "--json").stdout)
        assert terminate(process) == 0, container.log()
