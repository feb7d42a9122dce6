"""A network between a process and the database that can be cut: it takes every byte and hands none on, and nobody is told."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Network:
    """Leads from a port of this machine to the database. What was connected when it was cut stays cut for ever."""

    def __init__(self, dsn: str) -> None:
        server = conninfo_to_dict(dsn)
        self._server = f"{server['host']}/.s.PGSQL.{server['port']}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=self._listener.getsockname()[1], sslmode="disable")
        self._is_cut = False
        self._lock = threading.Lock()
        self._wires: list[_Wire] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut(self) -> None:
        """From now on nothing arrives any more."""
        with self._lock:
            self._is_cut = True
            for wire in self._wires:
                wire.is_cut = True

    def mend(self) -> None:
        """Who connects from now on is connected."""
        with self._lock:
            self._is_cut = False

    def end(self) -> None:
        """Let everything go."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for wire in self._wires:
            wire.end()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            with self._lock:
                self._wires.append(_Wire(client, server, is_cut=self._is_cut))


class _Wire:
    def __init__(self, client: socket.socket, server: socket.socket, *, is_cut: bool) -> None:
        self.is_cut = is_cut
        self._ends = client, server
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def end(self) -> None:
        for one in self._ends:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while arrived := one.recv(65536):
                if not self.is_cut:
                    other.sendall(arrived)
            if not self.is_cut:
                other.shutdown(socket.SHUT_WR)


@contextmanager
def network_to(dsn: str) -> Iterator[Network]:
    """A network to a server that listens on a socket of this machine."""
    network = Network(dsn)
    try:
        yield network
    finally:
        network.end()
