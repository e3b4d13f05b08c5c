"""The master: the scheduler, which decides and does no I/O, and the shells around it."""
