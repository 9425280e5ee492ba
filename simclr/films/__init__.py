"""The training film: what a network makes of the same images, epoch by epoch (no torch)."""
