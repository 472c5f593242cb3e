"""Two servers with tables of their own behind one address: refused, and never doubled."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.migrations import layout_of
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine, running_engine, without_faults
from tests.helpers.exchanges import line
from tests.helpers.scene import INSERT
from tests.helpers.waiting import until


class RoundRobin:
    """A relay that leads each connection to the next of its targets."""

    def __init__(self, *ports: int) -> None:
        self.targets = list(ports)
        self._turn = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in [self._listener, *self._ends]:
            end.close()

    def cut(self) -> None:
        """End every connection, so that the next ones are led anew."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                port = self.targets[next(self._turn) % len(self.targets)]
                server = socket.create_connection(("127.0.0.1", port))
                self._ends += [client, server]
                self._start(_copy, client, server)
                self._start(_copy, server, client)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    without_faults()
    folder = tmp_path_factory.mktemp("pair")
    with running_engine(folder / "one") as first, running_engine(folder / "two") as second:
        for engine in (first, second):
            store = Store(engine.url)
            migrations.apply(store, layout_of(0))
            store.close()
        yield first, second


@pytest.fixture
def relay(pair: tuple[Engine, Engine]) -> Iterator[RoundRobin]:
    relay = RoundRobin(pair[0].port, pair[1].port)
    yield relay
    relay.close()
    for engine in pair:
        engine.release()
        engine.query("TRUNCATE TABLE llm_traces")


def counts(pair: tuple[Engine, Engine]) -> list[int]:
    return [int(engine.query("SELECT count() FROM llm_traces")) for engine in pair]


def test_a_daemon_stores_nothing_through_an_address_of_several_servers(
    pair: tuple[Engine, Engine], relay: RoundRobin, tmp_path: Path
) -> None:
    with RunningDaemon(tmp_path, url=f"http://127.0.0.1:{relay.port}/default") as daemon:
        daemon.send_one_way(b"".join(line(f"call-{number}", number) for number in range(20)))
        until(lambda: "several servers" in str(admin.status(tmp_path / "admin.sock")["store"]), limit=20)

        assert counts(pair) == [0, 0]


def test_a_second_server_that_appears_later_gets_no_row_twice(
    pair: tuple[Engine, Engine], relay: RoundRobin, tmp_path: Path
) -> None:
    relay.targets = [pair[0].port]
    with RunningDaemon(tmp_path, url=f"http://127.0.0.1:{relay.port}/default") as daemon:
        daemon.send_one_way(line("first", 1))
        until(lambda: admin.status(tmp_path / "admin.sock")["stored"] == 1, limit=20)
        pair[0].fault("commit_then_cut", only=INSERT)
        relay.targets = [pair[1].port]
        daemon.send_one_way(b"".join(line(f"call-{number}", number) for number in range(20)))
        until(lambda: "several servers" in str(admin.status(tmp_path / "admin.sock")["store"]), limit=20)
        assert counts(pair) == [21, 0]

        relay.targets = [pair[0].port]
        relay.cut()
        until(lambda: admin.status(tmp_path / "admin.sock")["stored"] == 21, limit=40)
        assert counts(pair) == [21, 0]


def test_several_servers_are_found_by_asking_each_connection(relay: RoundRobin) -> None:
    store = Store(f"http://127.0.0.1:{relay.port}/default")
    try:
        with pytest.raises(StoreBusy, match="several servers"):
            store.meet_servers(0)
    finally:
        store.close()
