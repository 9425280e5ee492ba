"""Embeddings of a data set: computed, stored, drawn as maps and films, and compared."""
