"""Failed attempts: how they slow down whoever makes them."""

from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire.throttle import ADDRESSES_MAX, DELAY, DELAY_MAX, FORGIVEN_AFTER, Throttle, network_of


def test_each_failure_waits_longer_up_to_a_bound() -> None:
    throttle = Throttle()
    delays = [throttle.failed("192.0.2.1", 0.0) for _ in range(100)]
    assert delays[:3] == [DELAY, 2 * DELAY, 4 * DELAY]
    assert delays == sorted(delays)
    assert delays[-1] == DELAY_MAX
    assert throttle.failed("192.0.2.2", 0.0) == DELAY
    assert throttle.failed("192.0.2.1", FORGIVEN_AFTER + 1.0) == DELAY


def test_many_addresses_take_bounded_memory() -> None:
    throttle = Throttle()
    for number in range(ADDRESSES_MAX + 50):
        throttle.failed(f"place-{number}", 0.0)
    assert len(throttle) == ADDRESSES_MAX
    assert throttle.failed(f"place-{ADDRESSES_MAX}", 0.0) == 2 * DELAY


def test_one_place_has_many_addresses() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth0")


@given(st.text())
def test_any_address_is_a_place(address: str) -> None:
    assert isinstance(network_of(address), str)
