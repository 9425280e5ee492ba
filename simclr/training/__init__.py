"""How a network is trained: Lightning modules, batches, callbacks and checkpoints."""
