"""Drivers: pure state machines that turn the outcomes of a job's tasks into further tasks, and into its results."""
