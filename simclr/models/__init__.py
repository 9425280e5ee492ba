"""Encoders, heads, and weights that others saved."""
