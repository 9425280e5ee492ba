"""Custom components: each folder holds its script and style beside the Python that mounts it."""
