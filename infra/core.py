"""What every process of the service shares; `infra.bootstrap` makes it."""

from dataclasses import dataclass

from commands.assay import Assay
from infra.archives import Archives
from infra.artifacts import Artifacts
from infra.bounded_looks import BoundedLooks
from infra.data_folders import DataFolders
from infra.event_store import EventLog
from infra.scans import ScannedFolders
from infra.uploads import Uploads


@dataclass(frozen=True)
class Core:
    """The log, the write side over it, and shared storage. `dsn` is the address of the database.

    `data_folders` are the folders themselves, as workers read them; `scanned_folders` are what pages and commands know of them,
    and `looks` are how pages look into them.
    """

    dsn: str
    log: EventLog
    assay: Assay
    artifacts: Artifacts
    data_folders: DataFolders
    scanned_folders: ScannedFolders
    looks: BoundedLooks
    archives: Archives
    uploads: Uploads
