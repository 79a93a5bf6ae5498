"""Random changes of training images: drawn per image, applied per batch."""
