"""Connections of one sender stop together, and go on in turns."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from llmledgerd.flow_control import Admission
from llmledgerd.ingest.registry import Peers

READ = 100


class Line:
    """A connection without a socket."""

    def __init__(self, sender: str, admission: Admission, log: list[str]) -> None:
        self.sender: Hashable = sender
        self.account: Hashable = sender
        self._admission = admission
        self._log = log
        self.name = ""

    def may_read(self) -> bool:
        return self._admission.may_read(self.sender, self)

    def pause(self) -> None:
        self._log.append(f"-{self.name}")

    def resume(self) -> None:
        self._log.append(f"+{self.name}")


class Scene:
    def __init__(self) -> None:
        self.admission = Admission(1 << 20, pending_limit=2 * READ - 1)
        self.log: list[str] = []
        self.peers: Peers[Line] = Peers()
        self.lines: dict[str, Line] = {}

    def add(self, name: str) -> None:
        line = self.lines[name] = Line(name[0], self.admission, self.log)
        line.name = name
        self.peers.add(line)

    def read(self, name: str) -> None:
        self.admission.waits(name[0], READ)
        self.peers.has_read(self.lines[name])

    def written(self, sender: str) -> None:
        self.admission.written(sender, READ)
        self.peers.resume()

    def said(self) -> list[str]:
        said = list(self.log)
        self.log.clear()
        return said


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    for name in ("a1", "a2", "a3", "b1"):
        scene.add(name)
    return scene


def test_a_sender_that_has_its_share_is_stopped_on_all_of_its_connections(scene: Scene) -> None:
    scene.read("a1")
    assert scene.said() == ["-a2", "-a3", "-a1"]


def test_those_that_waited_longest_go_on_first(scene: Scene) -> None:
    scene.read("a1")
    scene.said()
    scene.written("a")
    assert scene.said() == ["+a2", "+a3", "+a1"]
    scene.read("a2")
    scene.said()
    scene.written("a")
    assert scene.said() == ["+a3", "+a1", "+a2"]


def test_who_comes_while_a_sender_floods_is_read(scene: Scene) -> None:
    scene.read("a1")
    scene.add("c1")
    scene.said()
    scene.read("c1")
    assert scene.said() == ["-c1"]


def test_a_connection_that_comes_when_its_sender_has_its_share_is_stopped_once_it_has_read(
    scene: Scene,
) -> None:
    scene.read("a1")
    scene.said()
    scene.add("a4")
    scene.peers.has_read(scene.lines["a4"])
    assert scene.said() == ["-a4"]


def test_who_has_left_is_neither_counted_nor_resumed(scene: Scene) -> None:
    scene.read("a1")
    scene.said()
    scene.peers.discard(scene.lines["a2"])
    scene.peers.discard(scene.lines["a2"])
    scene.peers.has_read(scene.lines["a2"])
    assert (len(scene.peers), scene.peers.count("a"), scene.peers.count("b")) == (3, 2, 1)
    scene.written("a")
    assert scene.said() == ["+a3", "+a1"]
