"""Search and evolution: spaces, optimizers to be asked and told, and `minimize` in this process. Needs no cluster."""
