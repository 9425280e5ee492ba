"""What the files of a run folder, and of the folder around it, are called."""

from __future__ import annotations

CONFIG, STATUS, METRICS, META = "config.yaml", "status.json", "metrics.csv", "meta.json"
LOG, MODEL, EVALUATION, HEALTH = "log.txt", "model.pt", "evaluation.json", "health.jsonl"
CHECKPOINTS, EMBEDDINGS = "checkpoints", "embeddings"
LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, BEST_CHECKPOINT = "last.ckpt", "previous.ckpt", "best.ckpt"
FRESH_CHECKPOINT = ".fresh.ckpt"  # whole, and about to become the last
RESUMABLE_CHECKPOINTS = (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT)  # the second where the first is damaged or gone
EXAMPLES, TRASH, JOBS = "examples", ".trash", ".jobs"
