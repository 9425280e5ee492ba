"""The page of a race: two networks side by side while they train."""
