"""Tokens: written and read back, whatever is damaged refused, the secret shown by nothing but `written`."""

import contextlib
import copy
import pickle
import string
import traceback

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from manyhands.wire.tokens import Token, TokenFault, new_secret, parse_token

ALPHABET = string.ascii_letters + string.digits + "-_"
secrets = st.text(ALPHABET, min_size=20, max_size=200)
tokens = st.builds(Token, st.binary(min_size=32, max_size=32), secrets)
#: No sentence of ours contains it, nor any eight characters of it.
SECRET = "q7Zx9KvW2bTn4LmR8sYd3HcJ"
TOKEN = Token(bytes(range(32)), SECRET)


def test_is_written_in_three_parts() -> None:
    token = Token(bytes(32), "abcdefghij0123456789")
    assert token.written() == f"mh1.{'A' * 43}.abcdefghij0123456789"


@given(tokens, st.sampled_from(["", " ", "\n", "\t \r\n"]))
def test_is_read_as_it_was_written(token: Token, space: str) -> None:
    assert parse_token(space + token.written() + space) == token


@given(tokens, st.data())
def test_another_text_is_never_the_same_token(token: Token, data: st.DataObject) -> None:
    text = token.written()
    at = data.draw(st.integers(0, len(text) - 1))
    other = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    assume(other.strip() != text)
    with contextlib.suppress(TokenFault):
        assert parse_token(other) != token


@given(st.one_of(st.text(), st.text(ALPHABET + "."), st.from_regex(r"mh1\.[A-Za-z0-9_-]{43}\..*")))
def test_any_text_is_a_token_or_a_fault(text: str) -> None:
    try:
        assert parse_token(text).written() == text.strip()
    except TokenFault as fault:
        assert len(str(fault)) > 20


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"mh1.{SECRET}",
        f"mh1..{SECRET}",
        f"mh2.{'A' * 43}.{SECRET}",
        f"{SECRET}.{'A' * 43}.{SECRET}",
        f"mh1.{SECRET}.{'A' * 43}",
        f"mh1.{'A' * 42}B.{SECRET}",  # the two bits beyond the hash are not zero
        f"mh1.{'A' * 43}.{SECRET}.{SECRET}",
        f"mh1.{'A' * 43}.{SECRET} {SECRET}",
        f"mh1.{'A' * 43}.{SECRET}ü",
        f"mh1.{'A' * 43}.{SECRET * 9}",
        f"mh1.{'A' * 43}.{SECRET[:19]}",
        f"mh1.{'A' * 43}=.{SECRET}",
        f"mh{SECRET}",
    ],
)
def test_a_fault_says_nothing_of_the_text(text: str) -> None:
    with pytest.raises(TokenFault) as caught:
        parse_token(text)
    # Not format_exc: source lines are no secret, but this test's own lines are not shown either.
    told = "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert not any(SECRET[at : at + 8] in told for at in range(len(SECRET) - 7))


def test_shows_its_certificate_but_not_its_secret() -> None:
    for shown in (str(TOKEN), repr(TOKEN), f"{TOKEN}", f"{TOKEN!r:>300}", str([TOKEN])):
        assert "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" in shown
        assert SECRET not in shown


def test_does_not_travel() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled") as caught:
            pickle.dumps(TOKEN, protocol)
        assert SECRET not in str(caught.value)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(TOKEN)


@pytest.mark.parametrize("certificate", [b"", bytes(31), bytes(33)])
def test_names_a_certificate_by_a_whole_hash(certificate: bytes) -> None:
    with pytest.raises(TokenFault, match=f"not {len(certificate)}"):
        Token(certificate, SECRET)


def test_a_new_secret_is_long_random_and_fits() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(secret) for secret in made} == {43}
    for secret in made:
        assert parse_token(Token(bytes(32), secret).written()).secret == secret
