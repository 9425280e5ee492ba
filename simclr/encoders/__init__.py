"""Trained encoders as modules of PyTorch: images of any kind in, features or predictions out."""
