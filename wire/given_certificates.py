"""Certificates that people give, checked before gRPC sees them: it would only say that it cannot listen or connect."""

from __future__ import annotations

from manyhands.wire.pinning import Identity


class CertificateFault(ValueError):
    """A certificate or key cannot be used; the text says why, and holds nothing of a key."""


def check(identity: Identity | None, authority_pem: bytes | None) -> None:
    """That the key is the certificate's, and that the authority's certificates can be read. Raises CertificateFault."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if authority_pem is not None:
        try:
            x509.load_pem_x509_certificates(authority_pem)
        except ValueError:
            raise CertificateFault("the authority's file holds no certificate in PEM form") from None
    if identity is None:
        return
    try:
        certificate, *_ = x509.load_pem_x509_certificates(identity.certificate_pem)
    except ValueError:
        raise CertificateFault("the certificate's file holds no certificate in PEM form") from None
    try:
        key = load_pem_private_key(identity.key_pem, password=None)
    except TypeError:
        raise CertificateFault("the key is encrypted: give one that is not, in a file that only you can read") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateFault("the key's file holds no private key in PEM form") from None
    if key.public_key() != certificate.public_key():
        raise CertificateFault(
            f"the key is not that of the certificate ({certificate.subject.rfc4514_string()}): the first certificate "
            "in the file has to be the key's, those of its authorities follow"
        )
