"""The page of augmentations."""
