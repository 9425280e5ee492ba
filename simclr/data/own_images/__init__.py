"""Images of a user's own as a data set: found in the folders of this machine, or copied from an upload (no torch)."""
