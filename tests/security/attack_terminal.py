"""Terminal: every command on a real one, with hostile text in every place that it may come from.

What is allowed there is what rich writes itself: colors, and the cursor of its progress bars. None of the
texts below uses those, but for one color that rich never takes.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import DeadLetter
from tests.helpers import admin
from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.prefork import Process
from tests.helpers.waiting import until
from tests.security.attack import Attack

HOSTILE = (
    "\x1b[2J", "\x1b[H", "\x1b]0;title\x07", "\x1b]52;c;ZXZpbA==\x07", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    "\x1bP+q544e\x1b\\", "\x1b_app\x1b\\", "\x1b^pm\x1b\\", "\x1bc", "\x1b[6n", "\x1b[5i", "\x1b[38;5;123m",
    "\x9b2J", "\x9d0;c1 title\x9c", "\x90dcs\x9c", "\x85next", "\x84index", "\x8dreverse",
    "\x07bell", "\x08\x08\x08back", "\x0bvt", "\x0cff", "\x0eso", "\x0fsi", "\x7fdel", "\x18can", "\x1asub",
    "\u202erlo", "\u202dlro", "\u202arle", "\u2066lri", "\u2067rli", "\u2068fsi", "\u200frlm", "\u200elrm",
    "\u061calm", "\u2028line", "\u2029paragraph", "\ufeffbom", "\x00nul",
    "[/red]", "[bold]x[/bold]", "[link=http://x]y[/link]", "[/]", "\r\nforged  line", "\rover",
)  # fmt: skip
ALL = "".join(HOSTILE)
ARGUMENT = ALL.replace("\x00", "")
NAME = ARGUMENT.replace("/", "").replace("\n", "")[:120]
OURS = re.compile(r"\x1b\[(?!38;5;123m)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[AK]|\r+\n|\r(?=\x1b\[2K)|\r\Z")
EFFECT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
SECONDS = 60.0


def run(attack: Attack) -> None:
    settings = {"log_format": "console", "orphan_grace_seconds": 1}
    with RunningDaemonOnTerminal(attack.folder / "d", settings=settings) as daemon:
        _send(daemon)
        until(lambda: admin.status(daemon.folder / "admin.sock")["in_spool"] == 0, limit=60)
        environment = {
            "LLMLEDGER_SOCKET": str(daemon.socket),
            "LLMLEDGER_SPOOL_DIR": str(daemon.spool),
            "LLMLEDGER_CLICKHOUSE_URL": daemon.url,
        }
        _plant_letters(daemon.spool)
        for arguments in _commands(attack.folder):
            _judge(attack, arguments, *_shown(arguments, environment))
        _values(attack, environment)
        daemon.terminate()
        _judge(attack, ["serve"], daemon.screen(), 0)


class RunningDaemonOnTerminal(RunningDaemon):
    """A daemon whose standard error is a terminal, of which its log file has what is seen."""

    def _launch(self, command: list[str], environment: dict[str, str], log: object) -> Process:
        self._ours, theirs = pty.openpty()
        try:
            return subprocess.Popen(command, stdout=theirs, stderr=theirs, env=_known(environment), cwd=ROOT)
        finally:
            os.close(theirs)

    def _wait_ready(self, mark: int) -> None:
        until(lambda: "ready" in self.screen() and self.socket.exists(), limit=60)

    def screen(self) -> str:
        """Return what the terminal was sent so far."""
        with contextlib.suppress(OSError), self.log_path.open("ab") as log:
            while select.select([self._ours], [], [], 0)[0]:
                log.write(os.read(self._ours, 65536))
        return self.log_path.read_bytes().decode(errors="replace")


def _send(daemon: RunningDaemon) -> None:
    lines = []
    for index, text in enumerate(HOSTILE):
        fields: dict[str, Any] = dict.fromkeys(
            ("org_id", "project_id", "agent_id", "run_id", "step_id", "trace_id", "user_id", "span_id"), text
        ) | dict.fromkeys(("service", "source", "provider", "model", "type", "error", "error_type"), text)
        message = {"role": text, "content": text, "name": text}
        call = {
            "name": text,
            "arguments": json.dumps({"a": text}),
        }
        answer = {
            "role": text,
            "content": text,
            "tool_calls": [{"id": text, "type": "function", "function": call}],
        }
        lines.append(
            line(
                f"call-{index}",
                index,
                **fields,
                url=f"https://host/{text}",
                tags=[text],
                billing={"plan_type": text, "cost_source": text, "customer_id": text},
                request={"model": text, "messages": [message], "service_tier": text},
                response={"id": text, "model": text, "choices": [{"message": answer, "finish_reason": text}]},
            )
        )
        lines.append(line(f"bad-{index}{text}", index, agent_id=17, org_id=text))
        lines.append(f'{{"protocol_version":"{text}'.encode() + b'"}\n')
    daemon.send_one_way(b"".join(lines))
    hello = {"session": "0" * 32, "first": 1, "client": ALL, "service": ALL, "host": ALL}
    dropped = {ALL: 3, **dict.fromkeys(HOSTILE, 1)}
    daemon.send_one_way(
        b"".join(
            json.dumps({"protocol_version": 4, **one}).encode() + b"\n"
            for one in ({"hello": hello}, {"dropped": dropped})
        )
    )


def _plant_letters(spool: Path) -> None:
    letters = [
        DeadLetter(
            id=f"{text}:{index}",
            reason=text,
            detail=text,
            received_us=index,
            size=9,
            session=text,
            service=text,
            line=text,
        )
        for index, text in enumerate(HOSTILE)
    ]
    dead_letters.write(spool, "planted", letters)


def _commands(folder: Path) -> Iterator[list[str]]:
    records = _record_files(folder)
    alias = ARGUMENT.replace("`", "").replace("\\", "")
    by = "organization,project,agent,user,service,provider,model,call_type,outcome,plan,customer"
    column = f"SELECT 1 AS `{alias}`, '{alias.replace(chr(39), '')}' AS `b{alias}`"
    for json_too in ([], ["--json"]):
        yield ["traces", "--limit", "100", *json_too]
        yield ["errors", "--limit", "100", *json_too]
        yield ["large", "--min-bytes", "0", "--limit", "100", *json_too]
        yield ["usage", "--by", by, *json_too]
        yield ["status", *json_too]
        yield ["sql", "SELECT * EXCEPT (request_json) FROM llm_traces", *json_too]
        yield ["sql", column, *json_too]
        yield ["dead-letters", "list", *json_too]
    for index in range(0, len(HOSTILE), 10):
        yield ["trace", f"call-{index}"]
        yield ["trace", f"call-{index}", "--raw"]
    yield ["tail", "--lines", "60"]
    yield ["dead-letters", "show", f"{HOSTILE[0]}:0"]
    yield ["dead-letters", "show", ARGUMENT]
    yield ["dead-letters", "purge", ARGUMENT]
    yield ["dead-letters", "list", "--spool-dir", f"/nowhere/{ARGUMENT}"]
    yield ["dead-letters", ARGUMENT]
    yield ["import", "--dry-run", *map(str, records)]
    yield ["import", *map(str, records)]
    yield ["import", f"/nowhere/{ARGUMENT}"]
    yield ["erase", "--org", ARGUMENT, "--yes"]
    yield ["erase", "--org", ARGUMENT, "--user", ARGUMENT, "--before", ARGUMENT]
    yield ["demo", "--url", ARGUMENT]
    yield ["reprice", "--from", ARGUMENT, "--to", ARGUMENT]
    yield ["copy", "--since", ARGUMENT]
    yield ["objects", "clean", "--url", ARGUMENT]
    yield ["ui", "--host", ARGUMENT]
    yield ["trace", ARGUMENT]
    yield ["traces", "--since", ARGUMENT]
    yield ["traces", f"--{ARGUMENT}"]
    yield ["usage", "--by", ARGUMENT]
    yield ["sql", ARGUMENT]
    yield ["traces", "--url", f"unix:{ARGUMENT}"]
    yield ["traces", "--url", f"http://{ARGUMENT}"]
    yield [ARGUMENT]
    setting = ["--set", f"socket_path=/nowhere/{ARGUMENT}"]
    yield ["llmledgerd", "config", *setting]
    yield ["llmledgerd", "check", *setting, "--set", f"spool_dir={ARGUMENT}"]
    yield ["llmledgerd", "check", "--config", f"/nowhere/{ARGUMENT}"]
    yield ["llmledgerd", "config", "--set", f"{ARGUMENT}=1"]
    yield ["llmledgerd", "config", "--set", f"ttl_days={ARGUMENT}"]
    yield ["llmledgerd", "health", "--set", f"admin=unix:{ARGUMENT}"]
    yield ["llmledgerd", "migrate", "--clickhouse-url", ARGUMENT]
    yield ["llmledgerd", "token", "--org", ARGUMENT, "--name", ARGUMENT]
    yield [
        "llmledgerd",
        "serve",
        *setting,
        "--set",
        f"spool_dir={folder}/spool-{NAME}",
        "--set",
        f"admin={ARGUMENT}",
    ]


def _record_files(folder: Path) -> list[Path]:
    """Return folders and files of hostile names with records and none in them."""
    tree = folder / "records" / NAME
    tree.mkdir(parents=True)
    red = folder / "records" / "[" / "red]"
    red.mkdir(parents=True)
    bad = "".join(json.dumps({"protocol_version": text, text: text}) + "\n" for text in HOSTILE)
    for where in (tree, red):
        (where / f"{NAME}.ndjson").write_text(bad + "not json " + ARGUMENT + "\n")
        (where / f"{NAME}.json").write_text(bad)
        (where / f"{NAME[:100]}.json.gz").write_bytes(gzip.compress(bad.encode())[:-9])
    no_utf8 = tree / os.fsdecode(b"\xff\x9b2J")
    no_utf8.mkdir()
    (no_utf8 / os.fsdecode(b"\xfe.ndjson")).write_text(bad)
    return [tree, red, tree / f"{NAME}.ndjson"]


def _shown(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[str, int]:
    """Run a command on a terminal of its own; return what that was sent, and the exit code."""
    module = "cli.daemon" if arguments[0] == "llmledgerd" else "cli.app"
    given = arguments[1:] if arguments[0] == "llmledgerd" else arguments
    code = f"from llmledgerd.{module} import main; main()"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(os.fsencode, given)],
        stdin=theirs, stdout=theirs, stderr=theirs, env=_known(environment), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    end = time.monotonic() + (6 if arguments[0] == "tail" else SECONDS)
    seen = b""
    with contextlib.suppress(OSError):  # which says that nobody has the terminal open any more
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.2)[0]:
                seen += os.read(ours, 65536)
    process.kill()
    os.close(ours)
    return seen.decode(errors="replace"), process.wait()


def _known(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LLMLEDGER_", "CLICKHOUSE_"))
    }
    path = {"PYTHONPATH": ":".join(part for part in sys.path if part) or "."}
    hostile = {f"LLMLEDGER_{NAME.replace('=', '')}": "1"}
    return {**kept, **environment, **path, **hostile, "TERM": "xterm-256color", "COLUMNS": "150"}


def _judge(attack: Attack, arguments: Sequence[str], seen: str, code: int) -> None:
    name = " ".join(part if len(part) < 40 else "…" for part in arguments)
    attack.tried(f"{name}: a traceback", through="Traceback" in seen)
    attack.tried(f"{name}: nothing was seen", through=not seen.strip() and code != 0)
    left = OURS.sub("", seen)
    for text in HOSTILE:
        effects = sorted(set(EFFECT.findall(text)))
        found = [one for one in effects if one in left] or ([text] if "123m" in text and text in seen else [])
        attack.tried(f"{name}: {text!r} by {found!r}", through=bool(found))
    rest = sorted(set(EFFECT.findall(left)))
    attack.tried(f"{name}: {rest!r}", through=bool(rest))


def _values(attack: Attack, environment: Mapping[str, str]) -> None:
    """What is escaped for a terminal is the same value for who reads it."""
    seen, _ = _shown(["traces", "--limit", "100", "--json"], environment)
    models = {
        json.loads(one)["id"]: json.loads(one)["model"] for one in seen.splitlines() if one.startswith("{")
    }
    for index, text in enumerate(HOSTILE):
        attack.tried(
            f"JSON of {text!r}: {models.get(f'call-{index}')!r}", through=models.get(f"call-{index}") != text
        )
