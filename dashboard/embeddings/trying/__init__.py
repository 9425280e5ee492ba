"""One's own images on the maps, and images that are changed while one looks."""
