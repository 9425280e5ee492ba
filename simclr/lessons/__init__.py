"""Lessons: a question, the learner's prediction, runs, and what they measured beside the prediction (no torch)."""
