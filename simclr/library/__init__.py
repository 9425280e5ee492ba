"""What `import simclr` offers beside its parts: trainings, their runs as tables and figures, and a LightningModule."""
