"""How the scheduler bears many workers: the shipped one, with simulated workers on virtual time."""
