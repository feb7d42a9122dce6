"""The door of the tests' broker that asks who comes and encrypts, with a certificate made for one session.

Behind it a user may what access control lists say, but for `assay`, who may everything; so may who comes through the open door.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infra.local_kafka import LocalBroker
from infra.settings import KafkaSettings

USERNAME, PASSWORD = "assay", "Panel2026"
PROCESSES = ("relay", "feed", "worker", "mes")
"""Users who may nothing until something is granted to them."""


def secured_properties(folder: Path) -> dict[str, str]:
    """What the broker must know; leaves `authority.pem` in the folder, which clients need."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )
    (folder / "authority.pem").write_bytes(certificate)
    keys = folder / "broker.pem"
    keys.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate)
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keys),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": (
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            + " ".join(f'user_{name}="{PASSWORD}"' for name in (USERNAME, *PROCESSES))
            + ";"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{USERNAME}",
    }


def secured_settings(broker: LocalBroker, prefix: str, username: str = USERNAME) -> KafkaSettings:
    """How a process comes through that door."""
    return KafkaSettings(
        brokers=(f"127.0.0.1:{broker.ports['SASL_SSL']}",),
        topic_prefix=prefix,
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        username=username,
        password=PASSWORD,
        authority_file=broker.folder / "authority.pem",
    )
