"""The client: futures, map, and the embedded cluster."""
