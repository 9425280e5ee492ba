"""Pre-training on images and their captions: the module, and its batches."""
