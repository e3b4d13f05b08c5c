"""Pins: the right certificate is trusted and no other; nothing secret is shown."""

import pytest

from manyhands.wire import certificate
from manyhands.wire.pinning import SERVER_NAME, Identity, PinFault, Trust, fingerprint, pin
from manyhands.wire.tokens import Token, new_secret

OURS, KEY = certificate.make()
THEIRS, _ = certificate.make()


def test_the_certificate_of_the_token_is_trusted_under_the_name_of_masters() -> None:
    token = Token(fingerprint(OURS), new_secret())
    assert pin(OURS, token, "192.0.2.7:7077") == Trust(OURS, SERVER_NAME)


def test_another_certificate_is_a_fault_that_names_the_address_and_not_the_secret() -> None:
    token = Token(fingerprint(OURS), new_secret())
    with pytest.raises(PinFault, match=r"at 192\.0\.2\.7:7077 .* another master, or .* secret was not sent") as caught:
        pin(THEIRS, token, "192.0.2.7:7077")
    assert token.secret not in str(caught.value)


def test_one_bit_of_the_hash_is_enough() -> None:
    right = fingerprint(OURS)
    for at in range(32):
        wrong = right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :]
        with pytest.raises(PinFault):
            pin(OURS, Token(wrong, new_secret()), "192.0.2.7:7077")


def test_a_private_key_is_not_shown() -> None:
    identity = Identity(OURS, KEY)
    trust = Trust(OURS, identity=identity)
    served = certificate.ServerIdentity(OURS, KEY, OURS)
    for shown in (str(identity), repr(trust), repr(served)):
        assert "PRIVATE KEY" not in shown
