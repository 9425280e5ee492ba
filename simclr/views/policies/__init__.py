"""Augmentation policies: one or two operations drawn for each view, RandAugment's and AutoAugment's for CIFAR-10."""
