"""Leaks between splits: test images that are training images, or nearly."""
