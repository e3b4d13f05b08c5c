"""What tests are built from: clocks, recorders, builders, simulated and real clusters."""
