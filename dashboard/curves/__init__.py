"""The page of curves."""
