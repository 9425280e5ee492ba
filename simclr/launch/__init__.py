"""Where a run runs: processes of this machine, its queue, or Slurm; `control` is the door to them all."""
