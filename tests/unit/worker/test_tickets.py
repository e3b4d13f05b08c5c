"""Tickets: good for one datum, once, for a while."""

from manyhands.worker.tickets import TICKET_TIMEOUT, TICKETS_MAX, Tickets

ID = bytes(16)


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets()
    tickets.admit(b"t", ID, 0.0)
    assert tickets.redeem(b"wrong", 0.0) is None
    assert tickets.redeem(b"t", 1.0) == ID
    assert tickets.redeem(b"t", 1.0) is None


def test_a_ticket_is_good_for_a_while() -> None:
    tickets = Tickets()
    tickets.admit(b"t", ID, 0.0)
    assert tickets.redeem(b"t", TICKET_TIMEOUT) is None


def test_tickets_that_nobody_shows_take_bounded_memory() -> None:
    tickets = Tickets()
    for number in range(TICKETS_MAX + 5):
        tickets.admit(number.to_bytes(4, "big"), ID, 0.0)
    assert len(tickets) == TICKETS_MAX
    assert tickets.redeem((4).to_bytes(4, "big"), 1.0) is None
    assert tickets.redeem((5).to_bytes(4, "big"), 1.0) == ID
    for number in range(TICKETS_MAX):
        tickets.admit(number.to_bytes(4, "little"), ID, 2 * TICKET_TIMEOUT)
    assert len(tickets) == TICKETS_MAX
