"""A run from its options to its last file, and what it will cost before it begins."""
