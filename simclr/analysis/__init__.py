"""What an encoder makes of views: similarities, invariance, and the factors of an image."""
