"""Names of the files in a run folder, and of the folders beside the runs."""

from __future__ import annotations

CONFIG, STATUS, METRICS, META = "config.yaml", "status.json", "metrics.csv", "meta.json"
LOG, MODEL, EVALUATION, HEALTH = "log.txt", "model.pt", "evaluation.json", "health.jsonl"
DATA, EVALUATIONS = "data.json", "evaluations"  # which images; figures on other data sets
TEXT_ENCODER = "text_encoder.pt"  # of a pre-training with captions, with its words
LEAKS = "leaks.json"  # test images that are copies of training images
CHECKPOINTS, EMBEDDINGS = "checkpoints", "embeddings"
LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, BEST_CHECKPOINT = "last.ckpt", "previous.ckpt", "best.ckpt"
FRESH_CHECKPOINT = ".fresh.ckpt"  # complete, about to be renamed to the last
RESUMABLE_CHECKPOINTS = (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT)  # the second if the first is damaged or missing
# Of a folder of weights as Hugging Face lays it out, and of one of a run.
SHARED_WEIGHTS = ("model.safetensors", "pytorch_model.bin", MODEL)
EXAMPLES, TRASH, JOBS, TAGS = "examples", ".trash", ".jobs", ".tags"
ADDED = ".embeddings"  # of other encoders, a folder for each set of them
OF_EXAMPLES = ".examples"  # what is computed about examples, so that what ships stays as it is
