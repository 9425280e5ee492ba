"""Starts several runs that belong together: the partners of a pre-training, and two networks side by side."""
