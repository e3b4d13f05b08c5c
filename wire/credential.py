"""What a joiner shows at the door: its token's secret, which the master may renew while they talk."""

from __future__ import annotations


class Credential:
    """The secret as it is now; empty: none."""

    def __init__(self, secret: str = "") -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # no secret
