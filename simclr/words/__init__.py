"""Words and images: captions of shapes, a text encoder, and what a pair of encoders is worth."""
