"""A way from a process to the database that can be closed and opened again."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Network:
    """Leads from a port of this machine to the database."""

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
        """From now on nobody is connected."""
        with self._lock:
            self._is_cut = True
            for wire in self._wires:
                wire.end()

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
            with self._lock:
                if self._is_cut:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._wires.append(_Wire(client, server))


class _Wire:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._ends = client, server
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def end(self) -> None:
        for one in self._ends:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while arrived := one.recv(65536):
                other.sendall(arrived)
            other.shutdown(socket.SHUT_WR)


@contextmanager
def network_to(dsn: str) -> Iterator[Network]:
    """A network to a server that listens on a socket of this machine."""
    network = Network(dsn)
    try:
        yield network
    finally:
        network.end()
