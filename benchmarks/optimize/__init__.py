"""What searches find, what they cost, how busy they keep a cluster, and what their peers do: `bench optimize`."""
