"""The commands on what a training has left: an encoder, its features and maps."""
