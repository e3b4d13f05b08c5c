"""What both ends agree on: ids, the block codec, errors, channel options."""
