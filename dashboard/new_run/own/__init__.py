"""Images of one's own for a new run: a folder of this machine, or an upload."""
