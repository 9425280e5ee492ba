"""How good an encoder is: features, kNN, linear probe, protocols, and what the curves of a run say."""
