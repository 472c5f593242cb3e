"""The conformance script passes what keeps the protocol, and finds what does not."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from conformance import check

ROOT = Path(__file__).resolve().parents[2]
OURS = [sys.executable, "-W", "error", str(ROOT / "conformance" / "python_client.py")]
NODE = ["node", str(ROOT / "examples" / "other-languages" / "conforming.mjs")]
NAMES = [scene.__name__ for scene, _ in check.SCENES]

NAIVE = """
import json, os, socket, sys, time, uuid
bugs = set(sys.argv[1:])
records, size = int(os.environ["CONFORMANCE_RECORDS"]), int(os.environ["CONFORMANCE_BYTES"])
lines = [{"provider_trace_id": f"conformance-{n}", "request": "x" * size} for n in range(1, records + 1)]
if "skips" in bugs: del lines[7]
lines.append({"end": {"taken": records + ("miscounts" in bugs)}})
lines = [json.dumps({"protocol_version": 4, **line}).encode() + b"\\n" for line in lines]
session, durable, last = str(uuid.uuid4()), 0, 0
deadline = time.monotonic() + 20
while durable < len(lines) and time.monotonic() < deadline:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(os.environ["LLMLEDGER_SOCKET"])
        if "new_session" in bugs: session = str(uuid.uuid4())
        first = (last if "forgets" in bugs else durable) + 1
        hello = {"session": session, "first": first, **({"last": last} if last and "no_last" not in bugs else {})}
        connection.sendall(json.dumps({"protocol_version": 4, "hello": hello}).encode() + b"\\n")
        stream = connection.makefile("rb")
        is_greeted = False
        if "eager" in bugs: connection.sendall(lines[0])
        while durable < len(lines):
            if "cuts_answers" in bugs:
                answers = [json.loads(connection.recv(10))]
            else:
                answers = [json.loads(stream.readline())]
            for answer in answers:
                if "strict" in bugs and answer.keys() - {"protocol_version", "durable", "max_line_bytes"}: sys.exit(1)
                if "error" in answer and "stubborn" not in bugs: sys.exit(0)
                durable = max(durable, answer.get("durable", durable))
            if is_greeted: continue
            is_greeted = True
            start = 0 if "repeats" in bugs else durable
            last = len(lines)
            connection.sendall(b"".join(lines[start:]))
    except (OSError, ValueError):
        time.sleep(0.05)
    finally:
        connection.close()
sys.exit("fails" in bugs)
"""


@pytest.mark.parametrize(("scene", "sizes"), check.SCENES, ids=NAMES)
def test_our_client_conforms(scene: check.Scene, sizes: dict[str, int]) -> None:
    assert check.fault(scene, sizes, OURS) == ""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
@pytest.mark.parametrize(("scene", "sizes"), check.SCENES, ids=NAMES)
def test_a_client_written_from_the_protocol_alone_conforms(scene: check.Scene, sizes: dict[str, int]) -> None:
    assert check.fault(scene, sizes, NODE) == ""


@pytest.fixture(scope="module")
def naive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("naive") / "client.py"
    path.write_text(NAIVE)
    return path


BROKEN: list[tuple[str, check.Scene, str]] = [
    ("eager", check.nothing_goes_wrong, "before its hello was answered"),
    ("skips", check.nothing_goes_wrong, "of 20 records 19 were stored"),
    ("miscounts", check.nothing_goes_wrong, "ended with"),
    ("fails", check.nothing_goes_wrong, "exited with 1"),
    ("new_session", check.answers_are_held_back, "another session"),
    ("forgets", check.answers_are_held_back, "holds lines from 22 on only"),
    ("no_last", check.answers_are_held_back, "`last` is None"),
    ("repeats", check.lines_were_stored_and_nobody_said_so, "25 were stored"),
    ("cuts_answers", check.answers_come_in_pieces, ""),
    ("strict", check.answers_have_unknown_keys, "closed before its session's end"),
    ("stubborn", check.the_version_is_not_supported, "tried again"),
    ("ignores_limit", check.lines_are_longer_than_the_limit, "over `max_line_bytes`"),
]


@pytest.mark.parametrize(("bug", "scene", "expected"), BROKEN, ids=[bug for bug, _, _ in BROKEN])
def test_a_client_that_is_wrong_is_found_out(
    naive: Path, bug: str, scene: check.Scene, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "PATIENCE_SECONDS", 3.0)
    sizes = dict(check.SCENES)[scene]
    found = check.fault(scene, sizes, [sys.executable, str(naive), bug])
    assert found
    assert expected in found


def test_a_simple_client_without_a_bug_passes(naive: Path) -> None:
    for scene in (check.nothing_goes_wrong, check.answers_are_held_back, check.records_are_rejected):
        assert check.fault(scene, {}, [sys.executable, str(naive)]) == ""
