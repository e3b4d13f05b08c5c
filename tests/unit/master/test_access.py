"""Tokens: what a secret opens, for whom, until when."""

import pytest

from manyhands.master.access import EVERYBODY, Access, Denied, Entry, Grant, Role
from manyhands.protos import manyhands_pb2 as pb

ANNA = Entry("anna", Role.CLIENT, "secret-of-anna", 0.0, expires_at=100.0)
ROOT = Entry("root", Role.ADMIN, "secret-of-root", 0.0)
BOB = Entry("bob", Role.WORKER, "new-secret-of-bob", 0.0, previous="old-secret-of-bob")
ACCESS = Access([ANNA, ROOT, BOB])


def test_a_secret_is_its_entry() -> None:
    assert ACCESS.grant("secret-of-anna", 99.9) == Grant("anna", Role.CLIENT)
    assert ACCESS.grant("secret-of-root", 1e9) == Grant("root", Role.ADMIN)


@pytest.mark.parametrize("secret", ["secret-of-ann", "secret-of-anna ", "x", "anna", "\ud800"])
def test_another_secret_is_nobodys(secret: str) -> None:
    with pytest.raises(Denied, match="does not know that token") as denied:
        ACCESS.grant(secret, 0.0)
    assert "secret-of" not in str(denied.value)


def test_no_secret_is_told_how_to_come_by_one() -> None:
    with pytest.raises(Denied, match="set MANYHANDS_TOKEN to one that `manyhands token show` prints"):
        ACCESS.grant("", 0.0)


def test_it_expires() -> None:
    with pytest.raises(Denied, match="the token 'anna' expired at"):
        ACCESS.grant("secret-of-anna", 100.0)
    ACCESS.check_standing(Grant("anna", Role.CLIENT), 99.0)
    with pytest.raises(Denied, match="expired"):
        ACCESS.check_standing(Grant("anna", Role.CLIENT), 100.0)


def test_a_previous_secret_goes_on_with_its_own_session_alone() -> None:
    assert ACCESS.grant("old-secret-of-bob", 0.0, session_owner="bob") == Grant("bob", Role.WORKER)
    for owner in (None, "", "anna"):
        with pytest.raises(Denied):
            ACCESS.grant("old-secret-of-bob", 0.0, session_owner=owner)
    assert ACCESS.current_secret("bob") == "new-secret-of-bob"


def test_what_is_revoked_or_has_another_role_does_not_stand() -> None:
    ACCESS.check_standing(Grant("root", Role.ADMIN), 0.0)
    for grant in (Grant("gone", Role.CLIENT), Grant("bob", Role.ADMIN)):
        with pytest.raises(Denied, match="was revoked"):
            ACCESS.check_standing(grant, 0.0)


@pytest.mark.parametrize(
    ("role", "may_work", "may_submit"),
    [
        (Role.WORKER, True, False),
        (Role.CLIENT, False, True),
        (Role.READ_ONLY, False, False),
        (Role.ADMIN, True, True),
    ],
)
def test_what_a_role_may_connect_as(role: Role, may_work: bool, may_submit: bool) -> None:
    grant = Grant("anna", role)
    for allowed, joins in ((may_work, pb.ROLE_WORKER), (may_submit, pb.ROLE_CLIENT)):
        if allowed:
            grant.check_join(joins)
        else:
            with pytest.raises(Denied, match=f"'anna' has the role {role}, which does not allow to"):
                grant.check_join(joins)


def test_who_may_read() -> None:
    assert Grant("anna", Role.CLIENT).may_read("anna")
    assert not Grant("anna", Role.CLIENT).may_read("bob")
    assert Grant("root", Role.ADMIN).may_read("bob")
    assert EVERYBODY.may_read("anybody")


def test_an_entry_does_not_show_its_secret() -> None:
    assert "secret" not in f"{BOB!r} {BOB} {[BOB]}"
