"""Waits until the tests are over, however they end, then stops their PostgreSQL server and removes its folder.

A fixture's own end would not run when the tests are killed, and the server would stay for ever.
"""

import shutil
import sys
from pathlib import Path

from infra.embedded_postgres import stop_postgres
from infra.settings import read_settings

if __name__ == "__main__":
    state = Path(sys.argv[1])
    sys.stdin.read()  # ends with the process that holds the other side
    stop_postgres(read_settings({"ASSAY_STATE": str(state)}))
    shutil.rmtree(state)
