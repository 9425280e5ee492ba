"""Encoders on images that they were not trained on: other data sets, and shifted test images."""
