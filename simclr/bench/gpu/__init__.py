"""What a GPU gives, as one table that can be sent back."""
