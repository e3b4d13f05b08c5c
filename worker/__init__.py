"""The worker: an agent that talks to the master, and slot processes that run the users' tasks."""
