"""Embeddings that other encoders made of images: read from a file, matched to the images, kept beside the runs."""
