"""How long a datum takes to come to many hosts, on a simulated network."""
