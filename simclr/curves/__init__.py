"""What curves of runs and logs are drawn of: their sources, their lines, smoothing, and what each metric is called."""
