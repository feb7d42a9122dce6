"""The log is tamper-evident: who changes it is found, whatever they change (E-4, E-6), on a real database."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection
from psycopg.rows import TupleRow

from domain.facts import Recorded
from infra import chain
from infra.chain import Finding, Seal, check_export
from infra.event_store import create_tables, open_event_log
from infra.notary import Notary, export_log, export_to, seals_in_database, seals_in_file, verify
from infra.side_tables import create_side_tables
from tests.eventually import eventually
from tests.every_fact import SECRET, every_fact
from tests.examples import example_id, plant

KEY = Ed25519PrivateKey.from_private_bytes(b"a key of the tests, 32 bytes lon")
PUBLIC_KEY = KEY.public_key().public_bytes_raw()
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"another key of tests, also of 32")


class Office:
    """A plant whose log a notary has chained and sealed."""

    def __init__(self, database: str, folder: Path, connection: Connection[TupleRow]) -> None:
        self.database, self.connection = database, connection
        self.seals = folder / "seals" / "seals.jsonl"
        self.notary = Notary(database, KEY, self.seals, seal_events=1, seal_seconds=3600)
        create_tables(database)
        create_side_tables(database)
        self.log = open_event_log(database)
        self.log.append(plant().events)
        self.work()
        self.last = self.log.position()

    def work(self) -> Seal | None:
        while self.notary.follow(self.connection):
            pass
        return self.notary.seal_if_due(self.connection)

    def tampered(self, statement: str, *values: object) -> list[Finding]:
        """What is found after somebody with all rights on the database did this."""
        self.connection.execute(statement.encode(), values)
        return verify(self.database, self.seals, PUBLIC_KEY).findings

    def chain_anew(self) -> None:
        """As somebody would who knows how the chain is made, but not the key."""
        self.connection.execute("TRUNCATE app.chain")
        while self.notary.follow(self.connection):
            pass


@pytest.fixture
def office(database: str, tmp_path: Path) -> Iterator[Office]:
    with psycopg.connect(database, autocommit=True) as connection:
        office = Office(database, tmp_path, connection)
        yield office
        office.log.close()


def test_a_log_that_nobody_touched_fits(office: Office) -> None:  # E-4
    verified = verify(office.database, office.seals, PUBLIC_KEY)
    assert verified.findings == []
    assert verified.event_count == verified.chained_count == len(plant().events)
    assert verified.seal_count == 1


@pytest.mark.parametrize(
    "change",
    [
        "state = set_byte(state, 30, get_byte(state, 30) # 1)",
        "topic = 'dataset.renamed'",
        "originator_id = gen_random_uuid()",
        "originator_version = originator_version + 100",
        "recorded_at = recorded_at + interval '1 microsecond'",
    ],
)
def test_a_changed_byte_is_named(office: Office, change: str) -> None:  # E-4
    findings = office.tampered(f"UPDATE assay_events SET {change} WHERE notification_id = %s", 5)
    assert findings == [Finding(5, "the event was changed")]


def test_a_removed_event_is_named(office: Office) -> None:  # E-4
    findings = office.tampered("DELETE FROM assay_events WHERE notification_id = %s", 7)
    assert findings == [Finding(7, "an event was removed: only its link is left")]


def test_an_event_removed_with_its_link_is_named(office: Office) -> None:  # E-4
    office.connection.execute("DELETE FROM app.chain WHERE position = 7")
    (finding,) = office.tampered("DELETE FROM assay_events WHERE notification_id = 7")
    assert finding.position == 8
    assert "removed" in finding.what


def test_an_inserted_event_is_named(office: Office) -> None:  # E-4
    office.connection.execute("UPDATE assay_events SET notification_id = 1000 WHERE notification_id = 9")
    office.connection.execute("UPDATE app.chain SET position = 1000 WHERE position = 9")
    findings = office.tampered(
        "INSERT INTO assay_events (originator_id, originator_version, topic, state, notification_id)"
        " OVERRIDING SYSTEM VALUE SELECT gen_random_uuid(), 1, topic, state, 9 FROM assay_events WHERE notification_id = 3"
    )
    assert Finding(9, "an event was inserted: it has no link") in findings


def test_a_missing_tail_is_named(office: Office) -> None:  # E-4
    findings = office.tampered("DELETE FROM assay_events WHERE notification_id > %s", office.last - 3)
    assert findings == [Finding(office.last - 2, "the tail is missing: 3 events from here on")]


def test_a_tail_that_is_missing_with_its_links_is_known_by_the_seal(office: Office) -> None:  # E-4
    office.connection.execute("DELETE FROM app.chain WHERE position > 10")
    (finding,) = office.tampered("DELETE FROM assay_events WHERE notification_id > 10")
    assert finding.position == office.last
    assert finding.what.startswith("the tail is missing: the seal of ")


def test_reordered_events_are_named(office: Office) -> None:  # E-4
    office.connection.execute("UPDATE assay_events SET notification_id = -1 WHERE notification_id = 4")
    office.connection.execute("UPDATE assay_events SET notification_id = 4 WHERE notification_id = 6")
    findings = office.tampered("UPDATE assay_events SET notification_id = 6 WHERE notification_id = -1")
    assert findings == [
        Finding(4, "the events were reordered: here stands the one of position 6"),
        Finding(6, "the events were reordered: here stands the one of position 4"),
    ]


def test_who_makes_the_chain_anew_is_known_by_the_seals(office: Office) -> None:  # E-4
    office.connection.execute("UPDATE assay_events SET topic = 'dataset.renamed' WHERE notification_id = 5")
    office.chain_anew()
    (finding,) = verify(office.database, office.seals, PUBLIC_KEY).findings
    assert finding.position == office.last
    assert "it was rewritten" in finding.what


def test_who_also_removes_the_seals_of_the_database_is_known_by_the_file(office: Office) -> None:  # E-4
    office.connection.execute("UPDATE assay_events SET topic = 'dataset.renamed' WHERE notification_id = 5")
    office.chain_anew()
    findings = office.tampered("TRUNCATE app.seals")
    assert any("rewritten" in finding.what for finding in findings)
    assert any(finding.what.endswith("is missing in the database") for finding in findings)


def test_a_seal_of_another_key_does_not_count(office: Office) -> None:  # E-4
    (seal,) = seals_in_database(office.connection)
    forged = OTHER_KEY.sign(chain.signed_part(seal.position, seal.hash, seal.sealed_at))
    office.seals.unlink()
    findings = office.tampered("UPDATE app.seals SET signature = %s", forged)
    assert any("does not carry the signature of this key" in finding.what for finding in findings)


def test_what_is_not_chained_yet_is_no_finding(office: Office) -> None:
    office.connection.execute(
        "INSERT INTO assay_events (originator_id, originator_version, topic, state)"
        " SELECT gen_random_uuid(), 1, topic, state FROM assay_events WHERE notification_id = 3"
    )
    assert verify(office.database, office.seals, PUBLIC_KEY).findings == []
    assert office.work() is not None
    assert verify(office.database, office.seals, PUBLIC_KEY).seal_count == 2


def test_a_seal_waits_for_events_or_time(office: Office) -> None:
    patient = Notary(office.database, KEY, office.seals, seal_events=1_000_000, seal_seconds=3600)
    assert patient.seal_if_due(office.connection) is None  # nothing new
    office.tampered(
        "INSERT INTO assay_events (originator_id, originator_version, topic, state)"
        " SELECT gen_random_uuid(), 1, topic, state FROM assay_events WHERE notification_id = 3"
    )
    patient.follow(office.connection)
    assert patient.seal_if_due(office.connection) is None  # too few, too soon
    assert patient.seal_if_due(office.connection, is_ending=True) is not None


def test_a_seal_that_a_crash_cut_off_never_counted(office: Office) -> None:
    whole = office.seals.read_bytes()
    office.seals.write_bytes(whole + b'{"position": 1')
    assert len(seals_in_file(office.seals)) == 1
    office.tampered(
        "INSERT INTO assay_events (originator_id, originator_version, topic, state)"
        " SELECT gen_random_uuid(), 1, topic, state FROM assay_events WHERE notification_id = 3"
    )
    office.work()
    assert office.seals.read_bytes().startswith(whole + b'{"position": ')
    assert verify(office.database, office.seals, PUBLIC_KEY).findings == []


def test_a_seal_that_a_kill_kept_out_of_the_database_counts(office: Office) -> None:  # E-4, S-2
    office.connection.execute("DELETE FROM app.seals")  # as if it was killed between the file and the database
    assert verify(office.database, office.seals, PUBLIC_KEY).findings
    office.notary.take_back_last_seal(office.connection)
    verified = verify(office.database, office.seals, PUBLIC_KEY)
    assert (verified.findings, verified.seal_count) == ([], 1)


def test_no_other_seal_is_put_back(office: Office) -> None:  # E-4
    office.tampered(
        "INSERT INTO assay_events (originator_id, originator_version, topic, state)"
        " SELECT gen_random_uuid(), 1, topic, state FROM assay_events WHERE notification_id = 3"
    )
    office.work()
    office.connection.execute("DELETE FROM app.seals WHERE position = %s", (office.last,))
    office.notary.take_back_last_seal(office.connection)
    (finding,) = verify(office.database, office.seals, PUBLIC_KEY).findings
    assert finding.what.endswith("is missing in the database")


def test_a_seal_that_does_not_fit_is_not_put_back(office: Office) -> None:  # E-4
    (seal,) = seals_in_file(office.seals)
    office.connection.execute("DELETE FROM app.seals")
    forged = Seal(seal.position, b"\0" * 32, seal.sealed_at, KEY.sign(chain.signed_part(seal.position, b"\0" * 32, "")))
    office.seals.write_text(f"{chain.seal_to_line(forged)}\n")
    office.notary.take_back_last_seal(office.connection)
    assert seals_in_database(office.connection) == []


def test_the_notary_chains_while_the_log_grows_and_seals_when_it_ends(database: str, tmp_path: Path) -> None:  # S-2
    create_tables(database)
    create_side_tables(database)
    log = open_event_log(database)
    seals, stop = tmp_path / "seals.jsonl", threading.Event()
    notary = threading.Thread(target=Notary(database, KEY, seals).run, args=(stop,))
    notary.start()
    events = plant().events
    try:
        log.append(events)
        eventually(lambda: verify(database, seals, PUBLIC_KEY).chained_count == len(events))
    finally:
        stop.set()
        notary.join()
        log.close()
    assert verify(database, seals, PUBLIC_KEY).seal_count == 1


# The exported log


@pytest.fixture
def exported(office: Office, tmp_path: Path) -> list[str]:
    count = export_to(tmp_path / "log.jsonl", office.database)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert count == len(lines) == len(plant().events)
    return lines


def changed(line: str, **values: object) -> str:
    return json.dumps({**json.loads(line), **values})


def test_an_exported_log_fits(office: Office, exported: list[str]) -> None:  # E-3, E-4
    assert check_export(exported, seals_in_file(office.seals), PUBLIC_KEY) == []


def test_no_secret_leaves_with_it(exported: list[str]) -> None:  # E-6
    created = [json.loads(line) for line in exported if json.loads(line)["type"] == "user.created"]
    assert created
    assert all(line["withheld"] == ["password_hash"] and "stored" not in line for line in created)
    assert 'password_hash":' not in "".join(exported).replace(" ", "").replace("\\", "")


def test_no_secret_of_any_event_leaves_with_it(office: Office) -> None:  # E-6
    moment = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
    office.log.append(
        [Recorded(example_id(f"one of {topic}"), 1, fact, moment) for topic, fact in every_fact().items()]
    )
    office.work()
    lines = list(export_log(office.connection))
    assert set(every_fact()) <= {json.loads(line)["type"] for line in lines}
    assert SECRET in "".join(str(fact) for fact in every_fact().values())
    assert not [line for line in lines if SECRET in line]


def first_stored(lines: list[str]) -> int:
    return next(index for index, line in enumerate(lines) if index > 3 and "stored" in json.loads(line))


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        (lambda lines, at: [*lines[:at], changed(lines[at], stored="[]"), *lines[at + 1 :]], "changed"),
        (lambda lines, at: [*lines[:at], changed(lines[at], type="other"), *lines[at + 1 :]], "changed"),
        (lambda lines, at: [*lines[:at], *lines[at + 1 :]], "removed"),
        (lambda lines, at: [*lines[:at], lines[at], *lines[at:]], "removed or rewritten"),
        (lambda lines, at: [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]], "removed or rewritten"),
        (lambda lines, at: lines[:at], "tail is missing"),
    ],
    ids=["changed", "another type", "removed", "inserted", "reordered", "cut off"],
)
def test_a_tampered_export_is_found(  # E-4
    office: Office, exported: list[str], tamper: Callable[[list[str], int], list[str]], what: str
) -> None:
    findings = check_export(tamper(exported, first_stored(exported)), seals_in_file(office.seals), PUBLIC_KEY)
    assert findings
    assert any(what in finding.what for finding in findings)


def run_alone(
    folder: Path, *arguments: str, python: tuple[str, ...] = (sys.executable, "-I")
) -> subprocess.CompletedProcess[str]:
    """The verifier as an auditor has it: one file, in a folder without Assay."""
    alone = folder / "chain.py"
    alone.write_text(Path(chain.__file__).read_text())
    return subprocess.run([*python, str(alone), *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_the_verifier_stands_alone(office: Office, exported: list[str], tmp_path: Path) -> None:  # E-4
    arguments = [str(tmp_path / "log.jsonl"), "--seals", str(office.seals), "--key", PUBLIC_KEY.hex()]
    whole = run_alone(tmp_path, *arguments)
    assert (whole.returncode, whole.stdout) == (0, "Everything fits.\n")
    at = first_stored(exported)
    (tmp_path / "log.jsonl").write_text(
        "\n".join([*exported[:at], changed(exported[at], version=9), *exported[at + 1 :]])
    )
    found = run_alone(tmp_path, *arguments)
    assert found.returncode == 1
    assert found.stdout.startswith(f"position {json.loads(exported[at])['position']}: the event was changed")


def test_an_auditor_whose_python_has_no_packages_verifies_all_but_signatures(
    office: Office, exported: list[str], tmp_path: Path
) -> None:  # E-4
    bare = (sys.executable, "-I", "-S")
    arguments = [str(tmp_path / "log.jsonl"), "--seals", str(office.seals)]
    assert run_alone(tmp_path, *arguments, python=bare).stdout == "Everything fits.\n"
    refused = run_alone(tmp_path, *arguments, "--key", PUBLIC_KEY.hex(), python=bare)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("Signatures are verified by the package `cryptography`")


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    for content in ("no json", "[]", '{"position": 1}', '{"position": "x", "digest": "", "hash": ""}'):
        (tmp_path / "log.jsonl").write_text(content)
        refused = run_alone(tmp_path, "log.jsonl")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "Traceback" not in refused.stderr
