"""The runs of a lesson: started by one click, found again, stopped, resumed, read out (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from simclr import config as cfg
from simclr import runs
from simclr.analysis import stored
from simclr.config import ConfigError, RunConfig
from simclr.embeddings.references import EncoderRef
from simclr.launch import control, queue
from simclr.lessons import answers, figures, reading
from simclr.lessons.answers import Answers
from simclr.lessons.lesson import Lesson, LessonRun
from simclr.results import arms
from simclr.runs import Run

TAG = "lesson"
ENDED_EARLY = ("failed", "stopped")


def find(run_id: str, runs_dir: Path) -> Run | None:
    """A run of the folder, or one that ships with the package."""
    for folder in (runs_dir, runs_dir / runs.EXAMPLES):
        if run_id and runs.is_run_folder(folder / run_id):
            return Run(folder / run_id)
    return None


def started(lesson: Lesson, given: Answers, runs_dir: Path) -> dict[str, Run | None]:
    """The learner's run for each run of the lesson; None where it was not started, or is not there any more."""
    return {name: find(given.runs.get(name, ""), runs_dir) for name in lesson.runs}


def known_runs(lesson: Lesson, given: Answers, runs_dir: Path) -> dict[str, Run]:
    """The runs of which figures are asked, by name: the learner's that have finished, and the shipped ones."""
    found = {name: find(run_id, runs_dir) for name, run_id in lesson.examples.items()}
    found |= started(lesson, given, runs_dir)
    return {name: run for name, run in found.items() if run is not None and run.status.state == "finished"}


def start(lesson: Lesson, runs_dir: Path) -> None:
    """Starts what is not there, one after the other; what was stopped or has failed goes on.

    A second click, also in another tab, finds the first one's runs.

    Raises:
        ConfigError: if nothing has been predicted yet, a run cannot be made, or the folder cannot be written.
    """
    with answers.changing(runs_dir):
        given = answers.read(lesson, runs_dir)
        if not given.is_complete(lesson):
            raise ConfigError("Nothing has been predicted yet; allowed: the experiment after the prediction.")
        there = started(lesson, given, runs_dir)
        for run in there.values():
            if run is not None and run.status.state in ENDED_EARLY:
                queue.resubmit(run)
        missing = [lesson.runs[name] for name, run in there.items() if run is None]
        if missing:
            _submit(lesson, missing, given, runs_dir)


def _submit(lesson: Lesson, missing: list[LessonRun], given: Answers, runs_dir: Path) -> None:
    """Queues runs, pre-trainings before those that start from them; each is noted as soon as it is there."""
    with queue.submit_several(runs_dir) as add:
        for item in sorted(missing, key=lambda item: bool(item.arm)):
            config, meta = options_of(lesson, item, given, runs_dir)
            given = replace(given, runs=given.runs | {item.name: add(config, **meta).id})
            answers.write(lesson, given, runs_dir)


def options_of(lesson: Lesson, item: LessonRun, given: Answers, runs_dir: Path) -> tuple[RunConfig, dict[str, str]]:
    """The options of a run of a lesson and further entries of its `meta.json`.

    A supervised one names its pre-training as `experiment`, and as `after` where that is not finished.

    Raises:
        ConfigError: if the options do not make a valid run, or its pre-training is not there.
    """
    if not item.arm:
        return _named(reading.pretraining(item), lesson, item), {"recipe": item.recipe}
    first = find(lesson.examples.get(item.of) or given.runs.get(item.of, ""), runs_dir)
    if first is None:
        what = "ships with the package, and is not in the runs folder" if item.of in lesson.examples else "is not there"
        raise ConfigError(f"{item.title} needs the run {lesson.examples.get(item.of, item.of)}, which {what}.")
    recipe = arms.guess_recipe(first.config, first.meta.get("recipe"))
    options = cfg.to_dict(arms.partner_config(first.config, first.id, item.arm, item.labels, recipe))
    config = cfg.build(cfg.FinetuneConfig, cfg.overlaid(options, cfg.nest(item.options)))
    meta = {"experiment": first.id, "recipe": recipe}
    return _named(config, lesson, item), meta | ({} if first.status.state == "finished" else {"after": first.id})


def _named(config: RunConfig, lesson: Lesson, item: LessonRun) -> RunConfig:
    return config.model_copy(update={"name": f"{lesson.title}: {item.title}", "tags": (TAG,)})


def stop(lesson: Lesson, runs_dir: Path) -> None:
    """Asks all that are active to stop, those that wait first.

    Raises:
        ConfigError: if one cannot be stopped.
    """
    for run in reversed(list(started(lesson, answers.read(lesson, runs_dir), runs_dir).values())):
        if run is not None and run.status.is_active:
            control.request_stop(run.path)


# --- what is read out of the features ---------------------------------------------------------------------------------


def not_read_out(lesson: Lesson, known: Mapping[str, Run]) -> list[EncoderRef]:
    """Encoders of finished runs whose factors have not been read out yet."""
    wanted = [known[name] for name in lesson.read_out if name in known]
    return [EncoderRef(run) for run in wanted if figures.readouts(run) is None]


def read_out(lesson: Lesson, runs_dir: Path) -> None:
    """Starts the job that reads the factors out of what is lacking; the one that does so already, if there is one.

    Raises:
        ConfigError: if weights are missing, or a folder cannot be written.
    """
    known = known_runs(lesson, answers.read(lesson, runs_dir), runs_dir)
    if models := not_read_out(lesson, known):
        stored.start_job(models, "factors", None, runs_dir)


def read_out_job(models: list[EncoderRef], runs_dir: Path) -> Path | None:
    """The job for these encoders, if there is one. Raises ConfigError if weights are missing."""
    return stored.find_job(models, "factors", "", runs_dir)
