"""What training minimizes and measures: NT-Xent, its metrics, and optimizers."""
