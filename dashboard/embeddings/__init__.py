"""The page of embeddings."""
