"""Sets of images that a user picks on a map: the files they are, tags that name them, copies in a folder."""
