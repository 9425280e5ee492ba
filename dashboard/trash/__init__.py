"""The page of deleted runs."""
