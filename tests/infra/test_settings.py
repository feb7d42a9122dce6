"""Settings: what the environment says, what is remembered, and what is refused."""

import inspect
import re
import socket
from pathlib import Path

import pytest

from infra import settings as settings_module
from infra.kept_secrets import session_secret
from infra.settings import VARIABLES, Settings, WrongSetting, read_settings, remember_data_root, secrets_in
from infra.uploads import ROOT as UPLOADS_ROOT


def settings_in(state: Path, **variables: str) -> Settings:
    return read_settings({"ASSAY_STATE": str(state), **variables})


def test_without_settings_nothing_outside_the_state_folder_is_opened(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert settings.data_roots == {"data": tmp_path / "data"}
    assert settings.archive_roots == {"archives": tmp_path / "archives"}
    assert settings.address == "http://127.0.0.1:8080"


def test_reading_settings_writes_nothing(tmp_path: Path) -> None:
    settings_in(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_data_roots_are_named(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, ASSAY_DATA_ROOTS="line-1=/mnt/line-1, line-2=/mnt/line 2")
    assert settings.data_roots == {"line-1": Path("/mnt/line-1"), "line-2": Path("/mnt/line 2")}


@pytest.mark.parametrize("roots", ["/mnt/line-1", "line-1=relative", "Line 1=/mnt", "=/mnt", "line-1="])
def test_a_data_root_without_name_or_absolute_path_is_refused(tmp_path: Path, roots: str) -> None:
    with pytest.raises(WrongSetting, match="Write name=/absolute/path"):
        settings_in(tmp_path, ASSAY_DATA_ROOTS=roots)


@pytest.mark.parametrize("port", ["0", "65536", "eighty", "-1", "８０"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    with pytest.raises(WrongSetting, match=r"ASSAY_PORT is .* from 1 to 65535"):
        settings_in(tmp_path, ASSAY_PORT=port)


def test_metrics_have_no_port_until_they_are_given_one_and_then_stay_on_this_machine(tmp_path: Path) -> None:  # S-3
    assert settings_in(tmp_path).metrics_port is None
    settings = settings_in(tmp_path, ASSAY_METRICS_PORT="9464")
    assert (settings.metrics_host, settings.metrics_port) == ("127.0.0.1", 9464)
    with pytest.raises(WrongSetting, match=r"ASSAY_METRICS_PORT is .* from 1 to 65535"):
        settings_in(tmp_path, ASSAY_METRICS_PORT="metrics")


def test_a_level_of_the_log_that_is_none_is_refused(tmp_path: Path) -> None:  # S-3
    assert settings_in(tmp_path, ASSAY_LOG_LEVEL="WARNING").log_level == "warning"
    with pytest.raises(WrongSetting, match=r"ASSAY_LOG_LEVEL is “loud”\. Write one of debug, info, warning, error"):
        settings_in(tmp_path, ASSAY_LOG_LEVEL="loud")


def test_the_run_folder_is_in_the_state_folder_unless_it_is_named(tmp_path: Path) -> None:  # S-3
    assert settings_in(tmp_path).run == tmp_path / "run"
    assert settings_in(tmp_path, ASSAY_RUN="/run/assay").run == Path("/run/assay")


def test_the_passwords_that_settings_hold_are_named_for_the_logs(tmp_path: Path) -> None:  # S-3
    kafka = {
        "ASSAY_KAFKA_BROKERS": "kafka-1:9093",
        "ASSAY_KAFKA_USERNAME": "assay",
        "ASSAY_KAFKA_PASSWORD": "Relay2026",
    }
    settings = settings_in(tmp_path, ASSAY_ADMINISTRATOR_PASSWORD="Panel2026", **kafka)
    assert secrets_in(settings) == ["Panel2026", "Relay2026"]
    assert secrets_in(settings_in(tmp_path)) == []


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("ASSAY_PROT", "ASSAY_PORT"),
        ("ASSAY_DATA_ROOT", "ASSAY_DATA_ROOTS"),
        ("ASSAY_KAFKA_BROKER", "ASSAY_KAFKA_BROKERS"),
        ("ASSAY_SECURE_COOKIE", "ASSAY_SECURE_COOKIES"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_one_that_was_meant(tmp_path: Path, misspelt: str, meant: str) -> None:
    with pytest.raises(WrongSetting, match=f"{misspelt} is no setting. Write {meant} "):
        settings_in(tmp_path, **{misspelt: "yes"})


def test_what_others_call_alike_is_left_to_them(tmp_path: Path) -> None:
    others = {"ASSAY_HOME": "/opt/assay", "ASSAY_IMAGES": "/srv/images", "ASSAY_TESTS_REQUIRE": "all"}
    assert settings_in(tmp_path, **others) == settings_in(tmp_path)


def test_every_setting_that_is_read_is_known_by_its_name() -> None:
    read = re.findall(r'environment(?:\.get\(|, )"(ASSAY_[A-Z_]+)"', inspect.getsource(settings_module))
    read += ["ASSAY_KAFKA_PASSWORD_FILE"]  # the other way of naming a secret
    assert set(read) == set(VARIABLES)


@pytest.mark.parametrize("address", ["bogus", "db-1:5432/assay", "mysql://db-1/assay"])
def test_a_database_that_is_no_address_is_refused_and_not_repeated(tmp_path: Path, address: str) -> None:
    with pytest.raises(WrongSetting, match="Write postgresql://") as refused:
        settings_in(tmp_path, ASSAY_DATABASE_URL=address)
    assert address not in str(refused.value)
    for right in ("postgresql:///assay", "postgres://db-1/assay", "host=db-1 dbname=assay"):
        assert settings_in(tmp_path, ASSAY_DATABASE_URL=right).database_url == right


def test_yes_or_no_is_not_guessed(tmp_path: Path) -> None:
    assert settings_in(tmp_path, ASSAY_SECURE_COOKIES="yes").secure_cookies
    assert not settings_in(tmp_path, ASSAY_SECURE_COOKIES="").secure_cookies
    with pytest.raises(WrongSetting, match="Write yes or no"):
        settings_in(tmp_path, ASSAY_SECURE_COOKIES="maybe")


def test_proxies_are_addresses_or_networks_and_by_default_on_this_machine(tmp_path: Path) -> None:  # S-1
    assert settings_in(tmp_path).trusted_proxies == ("127.0.0.1", "::1")
    written = settings_in(tmp_path, ASSAY_TRUSTED_PROXIES="10.0.0.7, 172.18.0.0/16")
    assert written.trusted_proxies == ("10.0.0.7", "172.18.0.0/16")
    for wrong in ("proxy.factory", "10.0.0", "10.0.0.7/8", "10.0.0.7;10.0.0.8"):
        with pytest.raises(WrongSetting, match=r"ASSAY_TRUSTED_PROXIES names .* Write addresses or networks"):
            settings_in(tmp_path, ASSAY_TRUSTED_PROXIES=wrong)
    for everybody in ("*", "0.0.0.0/0", "10.0.0.7,::/0"):
        with pytest.raises(WrongSetting, match="names everybody"):
            settings_in(tmp_path, ASSAY_TRUSTED_PROXIES=everybody)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("assay.factory", "http://assay.factory:8080"),
    ],
)
def test_the_address_is_one_that_a_browser_here_can_open(tmp_path: Path, host: str, address: str) -> None:
    assert settings_in(tmp_path, ASSAY_HOST=host).address == address


def test_a_remembered_data_root_is_there_at_the_next_start(tmp_path: Path) -> None:
    images = tmp_path / "x-sdd"
    images.mkdir()
    changed = remember_data_root(settings_in(tmp_path / "state"), "x-sdd", images)
    assert changed.data_roots["x-sdd"] == images
    assert settings_in(tmp_path / "state").data_roots == changed.data_roots


def test_the_environment_wins_over_what_is_remembered(tmp_path: Path) -> None:
    remember_data_root(settings_in(tmp_path), "data", tmp_path)
    assert settings_in(tmp_path, ASSAY_DATA_ROOTS="data=/mnt/data").data_roots == {"data": Path("/mnt/data")}


def test_a_data_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongSetting, match="is not a folder"):
        remember_data_root(settings_in(tmp_path), "x-sdd", tmp_path / "missing")


def test_a_broken_settings_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"data_roots": ')
    with pytest.raises(WrongSetting, match=r"settings\.json cannot be read"):
        settings_in(tmp_path)


def test_the_session_secret_stays_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    secret = session_secret(settings)
    assert len(secret) == 32
    assert session_secret(settings) == secret
    assert (tmp_path / "session-secret").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["session-secret"]


def test_uploads_are_bounded_and_leave_room(tmp_path: Path) -> None:  # I-2
    settings = settings_in(tmp_path)
    assert (settings.upload_gib, settings.upload_keep_free_gib, settings.upload_hours) == (8, 2, 24)
    assert settings_in(tmp_path, ASSAY_UPLOAD_GIB="20", ASSAY_UPLOAD_KEEP_FREE_GIB="0").upload_gib == 20
    with pytest.raises(WrongSetting, match=r"ASSAY_UPLOAD_HOURS is .* from 1 to 8760"):
        settings_in(tmp_path, ASSAY_UPLOAD_HOURS="0")


def test_no_archive_root_can_be_taken_for_the_uploads(tmp_path: Path) -> None:
    with pytest.raises(WrongSetting):
        settings_in(tmp_path, ASSAY_ARCHIVE_ROOTS=f"{UPLOADS_ROOT}=/mnt")


def test_a_live_worker_is_never_taken_for_a_silent_one(tmp_path: Path) -> None:  # T-6
    with pytest.raises(WrongSetting, match="at least twice as long as the pause between heartbeats"):
        settings_in(tmp_path, ASSAY_HEARTBEAT_SECONDS="10")
    assert settings_in(tmp_path, ASSAY_HEARTBEAT_SECONDS="7").heartbeat_seconds == 7


def test_without_brokers_messages_go_through_the_log(tmp_path: Path) -> None:  # K-2
    assert settings_in(tmp_path).kafka is None


def test_a_broker_of_our_own_listens_on_this_machine_only(tmp_path: Path) -> None:  # K-1, S-1
    kafka = settings_in(tmp_path, ASSAY_KAFKA_BROKERS="local", ASSAY_KAFKA_PORT="19092").kafka
    assert kafka is not None
    assert (kafka.is_local, kafka.brokers) == (True, ("127.0.0.1:19092",))


def test_brokers_of_the_factory_are_named_with_their_ports(tmp_path: Path) -> None:  # K-1
    kafka = settings_in(tmp_path, ASSAY_KAFKA_BROKERS="kafka-1:9092, kafka-2:9092").kafka
    assert kafka is not None
    assert (kafka.is_local, kafka.brokers) == (False, ("kafka-1:9092", "kafka-2:9092"))
    with pytest.raises(WrongSetting, match="Write host:port, with commas between, or local"):
        settings_in(tmp_path, ASSAY_KAFKA_BROKERS="kafka-1")


def test_a_secured_cluster_needs_a_user_and_a_password_that_may_lie_in_a_file(tmp_path: Path) -> None:  # K-1
    secured = {
        "ASSAY_KAFKA_BROKERS": "kafka-1:9093",
        "ASSAY_KAFKA_SECURITY": "sasl_ssl",
        "ASSAY_KAFKA_USERNAME": "assay",
    }
    with pytest.raises(WrongSetting, match="Set ASSAY_KAFKA_USERNAME and ASSAY_KAFKA_PASSWORD, too"):
        settings_in(tmp_path, **secured)
    password_file = tmp_path / "kafka-password"
    password_file.write_text("Panel2026\n")
    kafka = settings_in(tmp_path, **secured, ASSAY_KAFKA_PASSWORD_FILE=str(password_file)).kafka
    assert kafka is not None
    assert (kafka.security_protocol, kafka.sasl_mechanism, kafka.password) == ("SASL_SSL", "SCRAM-SHA-512", "Panel2026")


@pytest.mark.parametrize(
    ("variable", "wrong", "told"),
    [
        ("ASSAY_KAFKA_SECURITY", "TLS", "Write one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("ASSAY_KAFKA_SASL_MECHANISM", "GSSAPI", "Write one of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN"),
        ("ASSAY_KAFKA_CA_FILE", "/nowhere/ca.pem", "which is no file"),
        ("ASSAY_KAFKA_TOPIC_PREFIX", "line 1", "Use letters, digits"),
    ],
)
def test_a_setting_of_kafka_that_cannot_be_used_is_refused(
    tmp_path: Path, variable: str, wrong: str, told: str
) -> None:
    with pytest.raises(WrongSetting, match=told):
        settings_in(tmp_path, ASSAY_KAFKA_BROKERS="kafka-1:9092", **{variable: wrong})


def test_a_worker_is_named_as_its_machine_unless_it_has_a_name(tmp_path: Path) -> None:  # O-1
    settings = settings_in(tmp_path, ASSAY_MACHINE_NAME="rack-7")
    assert (settings.machine_name, settings.worker_name) == ("rack-7", "rack-7")
    settings = settings_in(tmp_path, ASSAY_MACHINE_NAME="rack-7", ASSAY_WORKER_NAME="gpu-1")
    assert (settings.machine_name, settings.worker_name) == ("rack-7", "gpu-1")
    assert settings_in(tmp_path).machine_name == settings_in(tmp_path).worker_name == socket.gethostname()
