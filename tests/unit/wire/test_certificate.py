"""The master's certificate: what it says, its hash, and what other certificates say of their bearers."""

import hashlib
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from manyhands.wire import certificate
from manyhands.wire.pinning import SERVER_NAME, fingerprint


def made_out_to(*attributes: x509.NameAttribute) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(
        x509.Name([]), x509.Name(attributes), key.public_key(), 1, now, now + timedelta(days=1)
    ).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.PEM)


def test_is_self_signed_for_one_name_and_signs_no_others() -> None:
    pem, _ = certificate.make()
    made = x509.load_pem_x509_certificate(pem)
    made.verify_directly_issued_by(made)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [SERVER_NAME]
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca


def test_is_valid_from_yesterday_for_thirty_years() -> None:
    made = x509.load_pem_x509_certificate(certificate.make()[0])
    now = datetime.now(UTC)
    assert timedelta(hours=23) < now - made.not_valid_before_utc < timedelta(hours=25)
    assert timedelta(days=29 * 365) < made.not_valid_after_utc - now < timedelta(days=31 * 365)


def test_key_is_a_p256_key_of_the_certificate() -> None:
    pem, key_pem = certificate.make()
    key = serialization.load_pem_private_key(key_pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.public_key() == x509.load_pem_x509_certificate(pem).public_key()


def test_no_two_are_alike() -> None:
    one, other = (x509.load_pem_x509_certificate(certificate.make()[0]) for _ in range(2))
    assert one.serial_number != other.serial_number
    assert one.public_key() != other.public_key()


def test_fingerprint_is_the_hash_of_the_first_certificate() -> None:
    pem, other = certificate.make()[0], certificate.make()[0]
    expected = x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256())
    assert fingerprint(pem) == hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).digest() == expected
    assert fingerprint(b"about this certificate\n" + pem + other) == expected
    assert fingerprint(other) != expected


@pytest.mark.parametrize("pem", [b"", b"no certificate", "ü".encode(), ssl.PEM_HEADER.encode()])
def test_what_is_no_certificate_has_no_fingerprint(pem: bytes) -> None:
    with pytest.raises(ValueError):
        fingerprint(pem)


def test_subject_of_a_bearer() -> None:
    name = x509.NameAttribute(NameOID.COMMON_NAME, "anna")
    unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "client")
    assert certificate.subject_of(made_out_to(name, unit)) == ("anna", "client")
    assert certificate.subject_of(made_out_to(name)) == ("anna", "")
    assert certificate.subject_of(made_out_to(unit)) == ("", "client")
    assert certificate.subject_of(made_out_to()) == ("", "")


def test_a_bearer_with_two_names_has_none() -> None:
    two = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("anna", "admin")]
    with pytest.raises(ValueError, match="2 values"):
        certificate.subject_of(made_out_to(*two))


def test_cryptography_is_imported_only_when_a_certificate_is_made() -> None:
    code = """
import sys
import manyhands.master.server, manyhands.wire.certificate, manyhands.master.grpc_server, manyhands.daemons
assert "cryptography" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
