"""Files and modes: what others of the host may read or write, under any umask, and where links lead."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from llmledgerd.config.settings import Config
from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import DeadLetter
from tests.helpers import admin
from tests.helpers.daemon import DaemonDied, RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.waiting import until
from tests.security.attack import Attack

UMASKS = (0o022, 0o000, 0o077)
MADE_BY_THE_TEST = {"daemon.log"}


def run(attack: Attack) -> None:
    for umask in UMASKS:
        _modes(attack, umask)
    _links(attack)
    _files_for_folders(attack)


def _modes(attack: Attack, umask: int) -> None:
    folder = attack.folder / f"umask-{umask:03o}"
    folder.mkdir(mode=0o755)
    settings = {
        "payloads": "offload",
        "payload_store": f"file://{folder}/deep/objects",
        "socket_path": folder / "run" / "s",
        "spool_dir": folder / "lib" / "spool",
        **({"admin_socket_erases": "true"} if "admin_socket_erases" in Config.__struct_fields__ else {}),
    }
    before = os.umask(umask)
    try:
        daemon = RunningDaemon(folder, url=f"chdb://{folder}/lib/clickhouse", settings=settings)
        daemon.socket, daemon.spool = folder / "run" / "s", folder / "lib" / "spool"
        with daemon:
            daemon.send_one_way(line("a", 1, org_id="acme") + line("b", 1, org_id="acme", agent_id=17))
            until(lambda: admin.status(folder / "run" / "admin.sock")["stored"] == 1)
            wanted = '{"organization_id":"nobody","whole_organization":true%s}'
            _, text = admin.post(folder / "run" / "admin.sock", "/v1/erase", wanted % "")
            code = text.partition('"confirmation":"')[2].partition('"')[0]
            admin.post(folder / "run" / "admin.sock", "/v1/erase", wanted % f',"confirmation":"{code}"')
            _look(attack, folder, umask)
            for name in ("s", "admin.sock"):
                mode = stat.S_IMODE((folder / "run" / name).stat().st_mode)
                attack.tried(f"umask {umask:03o}: {name} is {mode:04o}", through=mode != 0o660)
            daemon.terminate()
        _look(attack, folder, umask)
        demo = ["demo", "--calls", "10", "--url", f"chdb://{folder}/demo"]
        subprocess.run(_llmledger(*demo), check=True, capture_output=True, env=_environment())
        _look(attack, folder / "demo", umask)
    finally:
        os.umask(before)


def _look(attack: Attack, folder: Path, umask: int) -> None:
    """Count each path that others may write, and each of records that they may read by its whole path."""
    for path, is_reached in _paths(folder, reached=True):
        mode = path.lstat().st_mode
        said = f"umask {umask:03o}: {path.relative_to(folder)} is {stat.S_IMODE(mode):04o}"
        if stat.S_ISSOCK(mode) or stat.S_ISLNK(mode) or path.name in MADE_BY_THE_TEST:
            continue
        attack.tried(f"{said}, writable", through=is_reached and bool(mode & (stat.S_IWGRP | stat.S_IWOTH)))
        if stat.S_ISREG(mode):
            attack.tried(
                f"{said}, readable", through=is_reached and bool(mode & (stat.S_IRGRP | stat.S_IROTH))
            )


def _paths(folder: Path, *, reached: bool) -> Iterator[tuple[Path, bool]]:
    """Yield every path, and whether others can come to it."""
    mode = folder.stat().st_mode
    inside = reached and bool(mode & (stat.S_IXGRP | stat.S_IXOTH))
    yield folder, reached
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _paths(path, reached=inside)
        else:
            yield path, inside


def _links(attack: Attack) -> None:
    """Somebody who may write into an open spool folder puts links there before the daemon starts."""
    for name in ("lock", "reserve", "dead-letters/planted.ndjson", "quarantine/x.seg", "erasures/x.json"):
        folder = attack.folder / f"link-{name.replace('/', '-')}"
        spool = folder / "spool"
        (spool / name).parent.mkdir(parents=True)
        spool.chmod(0o777)
        victim = folder / "victim"
        victim.write_bytes(b"precious\n")
        (spool / name).symlink_to(victim)
        settings = {"spool_reserve_bytes": 1}
        daemon = RunningDaemon(folder, settings=settings)
        try:
            with daemon:
                daemon.send_one_way(line("a", 1, agent_id=17, org_id="acme"))
                until(lambda d=daemon: admin.status(d.folder / "admin.sock")["dead_letters"] == 1)  # type: ignore[misc]  # bound at once
                daemon.terminate()
        except DaemonDied:
            pass  # refusing to start is an answer
        changed = victim.read_bytes() != b"precious\n"
        attack.tried(f"a link {name} was written through", through=changed)
    folder = attack.folder / "link-tmp"
    victim = folder / "victim"
    (folder / dead_letters.FOLDER).mkdir(parents=True)
    victim.write_bytes(b"precious\n")
    (folder / dead_letters.FOLDER / "b.tmp").symlink_to(victim)
    letter = DeadLetter(id="b:0", reason="x", received_us=time.time_ns() // 1000, size=1, line="x")
    dead_letters.write(folder, "b", [letter])
    attack.tried("a link b.tmp was written through", through=victim.read_bytes() != b"precious\n")
    admin_link = attack.folder / "link-admin"
    admin_link.mkdir()
    (admin_link / "victim").write_bytes(b"precious\n")
    (admin_link / "victim").chmod(0o600)
    (admin_link / "admin.sock").symlink_to(admin_link / "victim")
    _starts(RunningDaemon(admin_link))
    kept = (admin_link / "victim").read_bytes() == b"precious\n"
    mode = stat.S_IMODE((admin_link / "victim").stat().st_mode)
    attack.tried(f"a link admin.sock: {mode:04o}", through=not kept or mode != 0o600)


def _files_for_folders(attack: Attack) -> None:
    for name, setting in (
        ("spool", "spool_dir={}"),
        ("clickhouse", "clickhouse_url=chdb://{}"),
        ("objects", "payload_store=file://{}"),
        ("s", "socket_path={}"),
    ):
        folder = attack.folder / f"file-{name}"
        folder.mkdir()
        (folder / name).write_bytes(b"precious\n")
        key, _, value = setting.format(folder / name).partition("=")
        settings = {key: value, **({"payloads": "offload"} if name == "objects" else {})}
        started, said = _starts(RunningDaemon(folder, settings=settings))
        is_kept = (folder / name).read_bytes() == b"precious\n"
        attack.tried(f"{name} is a file: {said}", through=started or not is_kept or "Traceback" in said)


def _starts(daemon: RunningDaemon) -> tuple[bool, str]:
    try:
        with daemon:
            return True, ""
    except DaemonDied:
        return False, daemon.log_path.read_text()[-500:]


def _llmledger(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from llmledgerd.cli.app import main; main()", *arguments]


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path), "PATH": os.environ["PATH"]}
