"""How good an encoder is: features, probes, protocols, and what the curves of a run say."""
