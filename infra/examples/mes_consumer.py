"""A sample consumer for a manufacturing execution system: fetches the export package of every model version that is published.

It stands alone: Python, kafka-python, nothing of Assay. The offset is committed after a package lies verified in the target
folder, so a consumer that is killed at whatever moment begins again with the same event; a package that is there is not fetched
again.
"""

import argparse
import hashlib
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer

PUBLISHED = "assay.model.version_published"
ASK_EVERY_SECONDS = 1.0
PART_BYTES = 1 << 20
SILENCE_SECONDS = 60.0
"""A server that says nothing for so long is gone; the consumer ends, and whoever starts it anew goes on at the same event."""
LONGEST_WORK_MS = 3_600_000
"""Who takes longer over one event is taken for dead, and another consumer of the group gets it."""


class NotOurs(Exception):
    """The token is not that of an MES, and the model belongs to a user for whom it does not act."""


class Assay:
    """The HTTP API, as far as a consumer needs it."""

    def __init__(self, address: str, token: str) -> None:
        self._address, self._token = address.rstrip("/"), token

    def ask(self, method: str, path: str) -> Any:
        """One request; the answer's JSON.

        Raises:
            NotOurs, urllib.error.HTTPError
        """
        try:
            with urllib.request.urlopen(self._request(method, path), timeout=SILENCE_SECONDS) as answer:  # noqa: S310 - the address is the operator's
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 403:
                raise NotOurs from error
            raise

    def fetch(self, path: str, target: Path) -> str:
        """A file, written beside its name; returns its SHA-256."""
        digest = hashlib.sha256()
        with (
            urllib.request.urlopen(self._request("GET", path), timeout=SILENCE_SECONDS) as answer,  # noqa: S310 - as above
            target.open("wb") as file,
        ):
            while part := answer.read(PART_BYTES):
                digest.update(part)
                file.write(part)
        return digest.hexdigest()

    def _request(self, method: str, path: str) -> urllib.request.Request:
        headers = {"Authorization": f"Bearer {self._token}"}
        return urllib.request.Request(f"{self._address}/api/v1{path}", method=method, headers=headers)  # noqa: S310


def fetch_package(assay: Assay, model_id: str, version: str, target: Path) -> Path:
    """Have the package of a version built, fetch it and verify it; the file is there whole or not at all.

    Raises:
        NotOurs
        RuntimeError: it cannot be built, or what came is not what was built.
    """
    path = f"/models/{model_id}/versions/{version}/export"
    export = assay.ask("POST", path)  # asking again changes nothing
    while export["status"] in ("waiting", "building"):
        time.sleep(ASK_EVERY_SECONDS)
        export = assay.ask("GET", path)
    if export["status"] != "built":
        raise RuntimeError(f"{version} cannot be exported: {export['reason']}")
    kept, beside = target / f"{model_id}-{version}.zip", target / f".{model_id}-{version}.part"
    if not kept.exists():
        found = assay.fetch(f"{path}/package", beside)
        if found != export["package"]["checksum"]:
            raise RuntimeError(f"{version} arrived with another checksum: {found}")
        beside.rename(kept)
    return kept


def events(consumer: KafkaConsumer) -> Iterator[dict[str, Any]]:
    """Every event; the offset moves when the next one is asked for, that is, once this one is done."""
    for message in consumer:
        yield json.loads(message.value)
        consumer.commit()


def main(arguments: list[str] | None = None) -> int:
    """Follow the events until interrupted, or until as many packages as `--stop-after` says have been fetched."""
    asked = _parser().parse_args(arguments)
    asked.target.mkdir(parents=True, exist_ok=True)
    assay = Assay(asked.assay, asked.token_file.read_text().strip())
    consumer = KafkaConsumer(
        asked.topic,
        bootstrap_servers=asked.brokers.split(","),
        group_id=asked.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=1,  # an event at a time, and patience with it: a package may take minutes to be built
        max_poll_interval_ms=LONGEST_WORK_MS,
    )
    fetched = 0
    for event in events(consumer):
        if event["type"] != PUBLISHED:
            continue
        name, version = event["data"]["model_name"], event["data"]["version"]
        try:
            package = fetch_package(assay, event["subject"], version, asked.target)
        except NotOurs:
            print(f"{name} {version}: not ours, passed over", flush=True)
            continue
        print(f"{name} {version}: {package}", flush=True)
        fetched += 1
        if fetched == asked.stop_after:
            consumer.commit()
            return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Fetch the export package of every model version that is published.")
    parser.add_argument("--brokers", required=True, help="host:port, with commas between")
    parser.add_argument("--topic", default="assay.events")
    parser.add_argument("--group", default="mes", help="the name of this consumer; its offsets are kept under it")
    parser.add_argument("--assay", required=True, metavar="ADDRESS", help="for example http://127.0.0.1:8080")
    parser.add_argument("--token-file", type=Path, required=True, help="a file with the token, for its owner only")
    parser.add_argument("--target", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--stop-after", type=int, default=0, metavar="NUMBER", help="packages; default: never")
    return parser


if __name__ == "__main__":
    sys.exit(main())
