"""Certificates of those who listen: self-signed, known to others by their hash; and what those of joiners say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from manyhands.wire.pinning import SERVER_NAME, Identity, fingerprint

__all__ = ["ServerIdentity", "fingerprint", "make", "subject_of"]

#: Nobody checks its dates for us: a token is void once the master has another certificate, a ticket soon.
_VALID = timedelta(days=30 * 365)
#: The clock of a machine that joins may be behind.
_VALID_SINCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ServerIdentity(Identity):
    """What a server shows; client_ca_pem: if given, every peer has to show what that authority has signed."""

    client_ca_pem: bytes | None = None


def make() -> tuple[bytes, bytes]:
    """A new self-signed certificate and its private key, both PEM. The key is not encrypted: keep it private."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID_SINCE)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def subject_of(pem: bytes) -> tuple[str, str]:
    """A certificate's common name and organizational unit; "" for what it does not have. Raises ValueError."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_pem_x509_certificate(pem).subject

    def only(kind: x509.ObjectIdentifier) -> str:
        values = [str(attribute.value) for attribute in subject.get_attributes_for_oid(kind)]
        if len(values) > 1:
            raise ValueError(
                f"the certificate of {subject.rfc4514_string()} has {len(values)} values where one is read"
            )
        return values[0] if values else ""

    return only(NameOID.COMMON_NAME), only(NameOID.ORGANIZATIONAL_UNIT_NAME)
