"""What a run's own figures say of it, in words: one verdict at a time, each with its rule (no torch).

`verdict` is for pre-trainings, `supervised_verdict` for fine-tuning and training from scratch, `advice` for speed and
memory. Each file holds the rules of one kind; `PRETRAIN_RULES` and `SUPERVISED_RULES` list them in the order in which
they are asked: the first that holds is the verdict.
"""

from simclr.evaluation.health.loss import loss_range
from simclr.evaluation.health.pretraining import RULES as PRETRAIN_RULES
from simclr.evaluation.health.pretraining import verdict
from simclr.evaluation.health.records import up_to
from simclr.evaluation.health.rule import Rule, Severity, Verdict
from simclr.evaluation.health.speed import RULES as SPEED_RULES
from simclr.evaluation.health.speed import advice
from simclr.evaluation.health.supervised import RULES as SUPERVISED_RULES
from simclr.evaluation.health.supervised import verdict as supervised_verdict

__all__ = [
    "PRETRAIN_RULES",
    "SPEED_RULES",
    "SUPERVISED_RULES",
    "Rule",
    "Severity",
    "Verdict",
    "advice",
    "loss_range",
    "supervised_verdict",
    "up_to",
    "verdict",
]
