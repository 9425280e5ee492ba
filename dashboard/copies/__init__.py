"""The page Copies."""
