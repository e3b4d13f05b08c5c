"""Certificates that people give: each mistake has its sentence, and none shows a key."""

import pytest
from cryptography.hazmat.primitives import serialization
from tests.support.certificates import Authority

from manyhands.wire import certificate
from manyhands.wire.given_certificates import CertificateFault, check
from manyhands.wire.pinning import Identity

AUTHORITY = Authority()
GOOD = AUTHORITY.issue("anna")
OTHER = AUTHORITY.issue("berta")


def encrypted(pem: bytes) -> bytes:
    key = serialization.load_pem_private_key(pem, password=None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )


@pytest.mark.parametrize(
    ("identity", "authority"),
    [
        (None, None),
        (None, AUTHORITY.pem),
        (GOOD, AUTHORITY.pem),
        (Identity(*certificate.make()), None),
        (Identity(GOOD.certificate_pem + AUTHORITY.pem, GOOD.key_pem), AUTHORITY.pem + OTHER.certificate_pem),
    ],
)
def test_what_can_be_used(identity: Identity | None, authority: bytes | None) -> None:
    check(identity, authority)


@pytest.mark.parametrize(
    ("identity", "authority", "sentence"),
    [
        (None, b"", "authority's file holds no certificate"),
        (None, GOOD.key_pem, "authority's file holds no certificate"),
        (Identity(b"", GOOD.key_pem), None, "certificate's file holds no certificate"),
        (Identity(GOOD.key_pem, GOOD.certificate_pem), None, "certificate's file holds no certificate"),
        (Identity(GOOD.certificate_pem, b""), None, "holds no private key"),
        (Identity(GOOD.certificate_pem, GOOD.certificate_pem), None, "holds no private key"),
        (Identity(GOOD.certificate_pem, GOOD.key_pem[:80]), None, "holds no private key"),
        (Identity(GOOD.certificate_pem, encrypted(GOOD.key_pem)), None, "key is encrypted"),
        (Identity(GOOD.certificate_pem, OTHER.key_pem), None, r"not that of the certificate \(CN=anna\)"),
        (Identity(AUTHORITY.pem + GOOD.certificate_pem, GOOD.key_pem), None, r"\(CN=authority\): the first"),
    ],
)
def test_what_cannot(identity: Identity | None, authority: bytes | None, sentence: str) -> None:
    with pytest.raises(CertificateFault, match=sentence) as caught:
        check(identity, authority)
    assert caught.value.__cause__ is None
    assert "PRIVATE" not in str(caught.value)
