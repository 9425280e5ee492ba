"""A run that is trained longer: at a flat rate as if it had been planned so, and exactly after a kill."""

import json
import shutil
import signal

import killable
import pytest
from conftest import TINY, TINY_PRETRAIN, flags
from dashboard_fixtures import make_run
from trainings import rows_of, run_and_find

from simclr import config as cfg
from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.curves.curve_sources import asked_options, same_but_seed
from simclr.lifecycle import extend
from simclr.lifecycle.prepare import prepare
from simclr.models.weights import file_hash
from simclr.objectives.optim import warmup_cosine
from simclr.runs import extensions, film_frames

# Four steps an epoch.
SHORT = {"limit_images": 72, "evaluate": False, "film_frames": 0}
FLAT = {"learning_rate": 0.002, "eta_min": 0.002, "lr_scaling_method": "none"}
RATES = {"learning_rate": 0.01, "eta_min": 0.01, "val_fraction": 0}  # else the best epoch would count, not the last
PRETRAIN = TINY_PRETRAIN | SHORT
FROZEN = {"batch_size": 16, "num_threads": 1, "accelerator": "cpu", "precision": "32-true", "freeze_encoder": True}
SCRATCH = TINY | SHORT | {"backbone": "resnet_tiny", "random_weight_init": True}


def frames_of(run):
    return {path.name: path.read_bytes() for path in film_frames.folder_of(run).glob("*.npy")}


def longer(run, **options):
    assert main(["resume", str(run.path), *flags(options)]) == 0
    again = runs.Run(run.path)
    assert again.status.state == "finished", again.status.error
    return again


@pytest.mark.parametrize(
    ("command", "options", "end", "later"),
    [
        # within an epoch, with a step of its own kind
        ("pretrain", PRETRAIN | FLAT | {"micro_batch_size": 6}, {"epochs": 9, "max_steps": 6}, {"max_steps": 11}),
        ("pretrain", PRETRAIN | FLAT, {"epochs": 2}, {"epochs": 3}),
        ("finetune", SCRATCH | RATES, {"max_steps": 2, "epochs": 5}, {"max_steps": 7}),
        ("finetune", FROZEN | SHORT | RATES, {"max_steps": 7}, {"max_steps": 14}),
    ],
    ids=["pretrain-steps", "pretrain-epochs", "scratch-steps", "frozen-steps"],
)
def test_at_a_flat_rate_it_ends_as_if_it_had_been_planned_so(tiny_runs, finished_run, command, options, end, later):
    """Same images in the same order, same views, same steps: nothing is left out or repeated where it goes on."""
    if "freeze_encoder" in options:
        options = options | {"experiment_version": str(finished_run.path)}
    expected = run_and_find(tiny_runs, command, options | end | later)
    run = run_and_find(tiny_runs, command, options | end)
    assert run.model_path.read_bytes() != expected.model_path.read_bytes()
    before = rows_of(run)
    run = longer(run, **later)
    assert run.model_path.read_bytes() == expected.model_path.read_bytes()
    assert (run.status.step, run.status.epoch) == (expected.status.step, expected.status.epoch)
    rows = rows_of(run)
    assert rows[: len(before)] == before and len(rows) > len(before)
    assert rows[-1] == rows_of(expected)[-1]


COSINE = {"warmup_epochs": 1, "film_frames": 2, "evaluate": True}
KILLS = [
    ("a step", 2),
    ("validating", 1),
    ("the weights half written", 1),
    ("the evaluation written", 1),
]


@pytest.mark.parametrize(
    ("command", "options", "end", "later"),
    [
        ("pretrain", PRETRAIN | COSINE | {"checkpoint_every_minutes": 0.0005}, {"epochs": 2}, {"epochs": 4}),
        ("finetune", SCRATCH | COSINE, {"epochs": 9, "max_steps": 6}, {"max_steps": 13}),
    ],
    ids=["pretrain-epochs", "scratch-steps"],
)
def test_killed_in_its_extension_it_goes_on_exactly(tiny_runs, tmp_path, command, options, end, later):
    first = run_and_find(tiny_runs, command, options | end)
    assert first.evaluation and first.model_path.is_file()
    first_step = first.status.step
    other = tmp_path / "other"
    shutil.copytree(first.path, other / first.id)  # the seal goes by the folder's name
    runs.seal(other / first.id)
    expected = longer(runs.Run(first.path), **later)
    log, arguments = tmp_path / "log", ["resume", str(other / first.id), *flags(later)]
    reached = []
    for moment, count in KILLS:
        code = killable.run(arguments, log, moment, count, signal.SIGKILL)
        assert code == -signal.SIGKILL, log.read_text()
        reached.append(moment)
        if len(reached) == 2:  # from then on without the option, which has been recorded
            arguments = ["resume", str(other / first.id)]
    assert killable.run(arguments, log) == 0, log.read_text()
    run = runs.Run(other / first.id)
    assert run.status.state == "finished"
    assert run.model_path.read_bytes() == expected.model_path.read_bytes()
    assert rows_of(run) == rows_of(expected)
    if command == "pretrain":
        assert run.health_path.read_bytes() == expected.health_path.read_bytes()
    film = frames_of(run)
    assert film == frames_of(expected) and "epoch-000001.npy" in film  # one of before, whose plan was another

    # the rate follows the new length from the first further step on, and nothing of before is shown as of now
    last = runs.Run(run.path)
    (entry,) = extensions.extensions_of(last)
    assert entry.step == first_step < last.status.steps == last.status.step
    total, warmup = last.status.steps, 4
    rates = {int(row["step"]): float(row["lr"]) for row in rows_of(last) if row["lr"]}
    peak = runs.load_config(last).peak_learning_rate
    for step in range(entry.step + 1, total):
        factor = warmup_cosine(step, num_steps=total, warmup_steps=min(warmup, total // 2), floor=0.0)
        assert rates[step] == pytest.approx(peak * factor, rel=1e-5)
    assert f"is trained longer, to {total}" in last.log_tail()
    aside = extensions.earlier_folder(last, entry.step)
    assert entry.weights_sha256 == file_hash(aside / runs.MODEL) != file_hash(last.model_path)
    assert json.loads((aside / runs.EVALUATION).read_text()) != last.evaluation


def test_what_cannot_be_extended_is_told_in_one_sentence(tiny_runs, finished_run, tmp_path, capsys):
    run = runs.Run(shutil.copytree(finished_run.path, tiny_runs / finished_run.id))
    runs.seal(run.path)

    def told(*arguments):
        assert main(["resume", run.id, *arguments]) == 2
        said = capsys.readouterr().err.strip()
        assert "\n" not in said
        return said

    steps = run.status.step
    trained = f"{run.id} has trained 2 epochs ({steps} steps)"
    assert told("--epochs", "2") == f"epochs is 2 and {trained}; allowed: epochs from 3 on."
    assert "allowed as well: epochs from 3 on." in told("--max_steps", "900")
    assert told("--epochs", "0") == "epochs is 0; allowed: a whole number from 1 to 100,000 epochs."
    assert "max_steps is 5 and" in told("--epochs", "9", "--max_steps", "5")
    assert run.status.state == "finished" and run.model_path.is_file()  # nothing was touched
    runs.add_meta(run.path, group={"id": "g1", "title": "Which?"})
    assert "belongs to the group g1, whose runs are compared after equal budgets" in told("--epochs", "3")
    runs.add_meta(run.path, group=None)
    runs.update_status(run.path, state="stopped", step=steps - 1)
    assert f"is stopped after {steps - 1} of {steps} steps; allowed: a run that has made all" in told("--epochs", "3")
    runs.update_status(run.path, state="failed", step=steps)
    shutil.rmtree(run.path / runs.CHECKPOINTS)
    assert "has no checkpoint to go on from" in told("--epochs", "3")
    early = make_run(tiny_runs, kind="scratch", state="finished", early_stopping_patience=2)
    runs.update_status(early.path, state="finished", step=5, steps=20)
    with pytest.raises(
        ConfigError, match="was ended after 5 of 20 steps by early_stopping_patience 2, which more epochs"
    ):
        extend.extend(early, 30)


def test_killed_before_it_is_recorded_it_resumes_to_its_old_end(tiny_runs, monkeypatch):
    run = run_and_find(tiny_runs, "pretrain", PRETRAIN | {"epochs": 1})
    before = run.model_path.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs, "write_config", killed)
        with pytest.raises(KeyboardInterrupt):
            extend.extend(run, 2)
    run = runs.Run(run.path)
    assert run.status.state == "stopped" and not run.model_path.exists()
    assert extensions.extensions_of(run) == []
    assert main(["resume", run.id]) == 0
    assert run.model_path.read_bytes() == before and run.config["epochs"] == 1
    run = longer(run, epochs=2)
    (entry,) = extensions.extensions_of(run)
    assert (entry.epoch, entry.epochs, entry.text) == (1, 2, "1 epoch, then to 2")
    run = longer(run, epochs=3)
    assert [entry.epoch for entry in extensions.extensions_of(run)] == [1, 2]


def test_small_first_views_stay_where_they_were(tiny_runs):
    options = PRETRAIN | {"epochs": 2, "initial_image_size": 12, "initial_size_share": 0.5}
    run = run_and_find(tiny_runs, "pretrain", options)
    before = runs.load_config(run).num_initial_steps(run.status.steps)
    extend.extend(run, 7)
    config = runs.load_config(runs.Run(run.path))
    assert config.epochs == 7
    assert config.num_initial_steps(7 * run.status.steps // 2) == before > 0


def test_a_partner_keeps_the_budget_that_it_began_with(tiny_runs):
    """Its experiment is trained longer while it is stopped; its own plan is not another one then."""
    run = run_and_find(tiny_runs, "pretrain", PRETRAIN | {"epochs": 1})
    options = SCRATCH | {"match_experiment": True, "experiment_version": run.id, "epochs": 20}
    first = prepare(cfg.build(cfg.FinetuneConfig, options), tiny_runs)
    extend.extend(run, 3)
    again = prepare(first.config, tiny_runs, has_begun=True)
    assert (again.num_steps, again.num_epochs) == (first.num_steps, first.num_epochs)
    assert prepare(first.config, tiny_runs).num_epochs == 3  # one that begins now


def test_an_extended_run_is_no_seed_of_one_that_was_planned_so(tmp_path):
    planned = make_run(tmp_path, epochs=4, state="finished")
    run = make_run(tmp_path, epochs=4, state="finished")
    assert _mark(run) == _mark(planned)
    entry = extensions.Extension(6, 2, 4, None, 1e9)
    runs.add_meta(run.path, extended=extensions.as_meta([entry]))
    assert _mark(run) != _mark(planned)


def _mark(run):
    return same_but_seed(run.kind, asked_options(run.path / runs.CONFIG))


def test_frames_of_a_film_are_kept_as_they_were_planned():
    assert film_frames.planned_epochs(8, 2, [3]) == [0, 2, 3, 4, 8]
    assert film_frames.planned_epochs(8, 0, [3]) == []
    assert film_frames.planned_epochs(8, 2) == [0, 4, 8]
    assert cfg.num_batches(33, 16, drop_last=False) == 2  # the image that is left joins the batch before
