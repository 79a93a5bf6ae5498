"""From what the user points at to batches of pixels: decode, index, split, preprocess, store."""
