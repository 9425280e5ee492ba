"""What the things cost that are computed from features: the linear probe, and maps."""
