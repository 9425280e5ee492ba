"""Random views of images, batched, each operation usable alone (Chen et al. 2020, appendix A)."""
