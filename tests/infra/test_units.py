"""The units for systemd and the compose file, as far as they can be held against the code without starting them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.cli import parser
from infra.programs import OTHERS_PATIENCE_SECONDS, PATIENCE_SECONDS, PROGRAMS
from infra.settings import read_settings
from tests.conftest import CHECKOUT
from tests.parts import require

SYSTEMD, COMPOSE = CHECKOUT / "infra" / "systemd", CHECKOUT / "infra" / "compose"
SETTINGS = set(re.findall(r'"(ASSAY_[A-Z_]+)"', (CHECKOUT / "infra" / "settings.py").read_text(encoding="utf-8")))
PROCESSES = set(PROGRAMS) - {"broker"}
"""A broker of our own is for trying on one machine, with `assay up`."""
ON_KAFKA = {"relay", "feed"}
INSTALLED = "/opt/assay/.venv/bin/assay"
Unit = dict[str, list[str]]


def unit(path: Path) -> Unit:
    """What stands under each key, in order; every key has one meaning wherever it stands."""
    found: Unit = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, is_assigned, value = line.partition("=")
            assert is_assigned, f"{path.name}: {line}"
            found.setdefault(key, []).append(value)
    return found


def process_unit(process: str) -> Unit:
    """The template with what differs for this process; of several values the last one counts, but of names all."""
    found = unit(SYSTEMD / "assay@.service")
    for drop_in in sorted((SYSTEMD / f"assay@{process}.service.d").glob("*.conf")):
        for key, values in unit(drop_in).items():
            found[key] = [*found.get(key, []), *values]
    return found


def wanted_by(target: str) -> set[str]:
    names = " ".join(unit(SYSTEMD / target)["Wants"]).split()
    return {found[1] for name in names if (found := re.fullmatch(r"assay@(\w+)\.service", name))}


def seconds(written: str) -> float:
    return float(written.removesuffix("s"))


def patience(process: str) -> float:
    return PATIENCE_SECONDS.get(process, OTHERS_PATIENCE_SECONDS)


def compose() -> Any:
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))


def variables(env_file: Path) -> dict[str, str]:
    """Also those that a comment shows."""
    pattern = re.compile(r"^#?([A-Z_]+)=(.*)$", re.MULTILINE)
    return dict(pattern.findall(env_file.read_text(encoding="utf-8")))


def filled_in(text: str, given: dict[str, str]) -> str:
    """A value of the compose file with its variables put in."""
    return re.sub(
        r"\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda found: given.get(found[1]) or (found[3] if found[2] == "-" else "") or "",
        text,
    )


def services() -> Iterator[tuple[str, Any]]:
    """Those of Assay itself."""
    for name, service in compose()["services"].items():
        if name != "database":
            yield name, service


def test_systemd_starts_every_process_that_there_is() -> None:  # S-2
    assert wanted_by("assay.target") == PROCESSES - ON_KAFKA
    assert wanted_by("assay-kafka.target") == ON_KAFKA


def test_compose_starts_every_process_that_there_is() -> None:  # S-2
    names = {name for name, _ in services()}
    assert names == PROCESSES | {"prepare"}
    assert {name for name, service in services() if service.get("profiles") == ["kafka"]} == ON_KAFKA


@pytest.mark.parametrize("file", sorted(SYSTEMD.glob("*.service")), ids=lambda file: file.name)
def test_a_unit_runs_a_command_that_exists(file: Path) -> None:  # S-2
    (command,) = unit(file)["ExecStart"]
    program, *verb = command.split()
    assert program == INSTALLED
    for process in sorted(PROCESSES) if verb == ["%i"] else verb:
        parser().parse_args([process])


def test_what_differs_for_a_process_is_about_one_that_exists() -> None:  # S-2
    folders = {folder.name for folder in SYSTEMD.glob("*.d")}
    assert folders <= {f"assay@{process}.service.d" for process in PROCESSES}
    for folder in folders:
        assert list((SYSTEMD / folder).glob("*.conf"))


@pytest.mark.parametrize("process", sorted(PROCESSES))
def test_whoever_stops_a_process_waits_as_long_as_it_needs(process: str) -> None:  # S-3
    assert seconds(process_unit(process)["TimeoutStopSec"][-1]) >= patience(process)
    assert seconds(compose()["services"][process]["stop_grace_period"]) >= patience(process)


@pytest.mark.parametrize("process", sorted(PROCESSES))
def test_systemd_hears_from_each_process_and_starts_it_again(process: str) -> None:  # S-3
    told = process_unit(process)
    assert (told["Type"], told["NotifyAccess"]) == (["notify"], ["main"])
    assert seconds(told["WatchdogSec"][0]) >= 30
    assert (told["Restart"], told["StartLimitIntervalSec"]) == (["always"], ["0"])
    assert told["KillMode"] == ["mixed"], "a worker stops its job itself"
    assert "assay-prepare.service" in " ".join(told["After"]).split()


@pytest.mark.parametrize("file", ["assay@.service", "assay.service", "assay-prepare.service"])
def test_units_may_do_no_more_than_they_need(file: str) -> None:  # S-2
    told = unit(SYSTEMD / file)
    assert told["User"] == ["assay"]
    assert told["NoNewPrivileges"] == ["yes"]
    assert told["ProtectSystem"] == ["strict"]
    assert told["CapabilityBoundingSet"] == [""]
    assert (told["ProtectHome"], told["PrivateTmp"], told["UMask"]) == (["yes"], ["yes"], ["0027"])
    assert told["StateDirectory"] == ["assay"]


def test_only_workers_see_devices() -> None:  # S-2
    assert {process for process in PROCESSES if process_unit(process)["PrivateDevices"][-1] == "no"} == {"worker"}


@pytest.mark.parametrize("file", [SYSTEMD / "assay.env", COMPOSE / "example.env"], ids=lambda file: file.name)
def test_every_variable_that_an_environment_file_names_is_used(file: Path) -> None:  # S-1
    used = set(re.findall(r"\$\{(\w+)", (COMPOSE / "compose.yaml").read_text(encoding="utf-8")))
    assert set(variables(file)) <= (SETTINGS if file.parent == SYSTEMD else SETTINGS | used)


def test_the_environment_file_of_systemd_is_one_that_assay_reads(tmp_path: Path) -> None:  # S-1
    shown = variables(SYSTEMD / "assay.env")
    password_file = tmp_path / "kafka-password"
    password_file.write_text("Panel2026\n")
    settings = read_settings({**shown, "ASSAY_KAFKA_PASSWORD_FILE": str(password_file)})
    assert str(settings.run) == f"/run/{unit(SYSTEMD / 'assay@.service')['RuntimeDirectory'][0]}"
    assert str(settings.state) == f"/var/lib/{unit(SYSTEMD / 'assay@.service')['StateDirectory'][0]}"
    assert settings.kafka is not None
    assert settings.metrics_host == "127.0.0.1"


@pytest.mark.parametrize("process", sorted(PROCESSES))
def test_the_settings_of_a_container_are_some_that_assay_reads(process: str) -> None:  # S-1
    given = variables(COMPOSE / "example.env") | {"POSTGRES_PASSWORD": "Panel2026", "ASSAY_PORT": "80"}
    service = compose()["services"][process]
    assert service["env_file"] == ".env"
    fixed = {name: filled_in(value, given) for name, value in service["environment"].items()}
    assert set(fixed) <= SETTINGS
    environment = {**given, **fixed}
    settings = read_settings({**environment, "ASSAY_KAFKA_BROKERS": "kafka-1:9092"})
    assert settings.database_url == "postgresql://assay:Panel2026@database/assay"
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert settings.kafka is not None
    assert read_settings(environment).kafka is None


@pytest.mark.parametrize("process", sorted(PROCESSES))
def test_a_container_is_asked_how_its_own_process_fares(process: str) -> None:  # S-3
    service = compose()["services"][process]
    (verb,) = service["command"]
    assert verb == process
    kind, program, *asked = service["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "assay")
    parsed = parser().parse_args(asked)
    assert (parsed.verb, parsed.process) == ("health", [process])


def test_containers_may_do_no_more_than_they_need() -> None:  # S-2
    for name, service in services():
        assert service["user"] == "10001:10001", name
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert sum(":/mnt/" in volume for volume in service["volumes"]) == 2
        assert all(volume.endswith(":ro") for volume in service["volumes"] if ":/mnt/" in volume)
        assert service["logging"]["options"]["max-size"]
    published = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:${ASSAY_PORT:-8080}:8080"]}, "metrics and database are published nowhere"


def test_containers_wait_for_those_they_stand_on() -> None:  # S-2
    everybody = compose()["services"]
    for name, service in services():
        for other, how in service["depends_on"].items():
            assert other in everybody
            if how["condition"] == "service_healthy":
                assert "healthcheck" in everybody[other], f"{name} would wait for ever"
        if name != "prepare":
            assert service["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}


def test_what_the_compose_file_keeps_it_declares() -> None:  # S-2
    declared = set(compose()["volumes"])
    used = {
        volume.partition(":")[0]
        for service in compose()["services"].values()
        for volume in service.get("volumes", ())
        if re.match(r"[a-z]", volume)
    }
    assert used == declared
    (gpu,) = yaml.safe_load((COMPOSE / "gpu.yaml").read_text(encoding="utf-8"))["services"]
    assert gpu in compose()["services"]


def test_images_are_built_from_what_is_there() -> None:  # S-2
    lines = (COMPOSE / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    sources = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    copied = {source for named in sources for source in named}
    assert all((CHECKOUT / source).exists() for source in copied)
    assert copied >= {"domain", "commands", "projections", "web", "gpu_worker", "infra"}
    kept = {line[1:] for line in (COMPOSE / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert kept == copied, "what the context leaves out cannot be copied"
    for file in re.findall(r"--requirement (\S+)", "\n".join(lines)):
        assert (CHECKOUT / file).exists()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", "\n".join(lines), re.MULTILINE))
    assert {service["build"]["target"] for _, service in services()} <= stages
    assert set(re.findall(r"(ASSAY_[A-Z_]+)=", "\n".join(lines))) <= SETTINGS
    assert "USER assay" in lines


def test_images_are_named_without_a_registry() -> None:  # S-1
    named = re.findall(r"^FROM (\S+)", (COMPOSE / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    named += [service["image"] for service in compose()["services"].values()]
    assert len(named) > 5
    for image in named:
        assert re.fullmatch(r"[a-z-]+(:[\w.-]+)?", image)


def test_systemd_understands_the_units(tmp_path: Path) -> None:  # S-2
    require("systemd-analyze", present=shutil.which("systemd-analyze"), how_to_get_it="install systemd")
    units = tmp_path / "units"
    shutil.copytree(SYSTEMD, units)
    here = Path(sys.executable).with_name("assay")
    for file in units.glob("*.*"):
        if file.is_file():
            text = file.read_text(encoding="utf-8").replace(INSTALLED, str(here))
            text = text.replace("/etc/assay/assay.env", str(units / "assay.env"))
            file.write_text(text.replace("file:///opt/assay", f"file://{CHECKOUT}"), encoding="utf-8")
    asked = [f"assay@{process}.service" for process in sorted(PROCESSES)]
    asked += [
        file.name for file in units.glob("assay*") if file.suffix in {".target", ".service"} and "@" not in file.name
    ]
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *asked],
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in verified.stderr.splitlines() if "assay" in line]
    assert (verified.returncode, ours) == (0, [])
