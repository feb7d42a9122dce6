"""To be run in a network of its own, with the address of a database: its only link goes down while somebody waits for an answer.

No packet is answered then, and none says so: what a pulled cable is like. Prints why the waiting ended, and after how many seconds.
"""

import subprocess
import sys
import threading
import time

import psycopg
from psycopg.conninfo import make_conninfo

from infra.connections import connect
from tests.eventually import eventually
from tests.infra.cut_network import network_to


def _link(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def main(dsn: str) -> None:
    """With limits in the address, shorter than the product's, so that nobody waits long for this."""
    _link("up")
    with network_to(dsn) as network:
        hasty = make_conninfo(network.dsn, keepalives_idle=1, keepalives_interval=1, tcp_user_timeout=2000)
        with connect(dsn, autocommit=True) as beside, connect(hasty, autocommit=True) as connection:
            process = connection.info.backend_pid
            working = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%pg_sleep%%'"

            def pull_once_it_waits() -> None:
                eventually(lambda: beside.execute(working, (process,)).fetchone())
                _link("down")

            threading.Thread(target=pull_once_it_waits, daemon=True).start()
            began = time.monotonic()
            try:
                connection.execute("SELECT pg_sleep(300)")
            except psycopg.OperationalError as error:
                sys.stdout.write(f"{time.monotonic() - began:.0f} {error}\n")
            beside.execute("SELECT pg_terminate_backend(%s)", (process,))


if __name__ == "__main__":
    main(sys.argv[1])
