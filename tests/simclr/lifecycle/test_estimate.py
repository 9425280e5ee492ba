"""Will it fit, and how long will it take: the arithmetic, real trials, and the process that makes them."""

import gc
import json
import sys
import time

import lightning as L
import psutil
import pytest
from conftest import TINY, TINY_PRETRAIN, make_folder
from waiting import wait_for

from simclr import config as cfg
from simclr import runs
from simclr.cli import main, parser
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig
from simclr.launch import control, spawn
from simclr.lifecycle import estimate, measure
from simclr.lifecycle.estimate import CannotMeasure, CostItem, Estimate, Figures

GIB = 2**30
ROOMY = 64 * GIB


def figures(**changes):
    """Batch 256 for 1,000 steps of 0.1 s, a gibibyte at first and 10 MiB for each image."""
    values = {
        "device": "CPU",
        "free": 8 * GIB,
        "sharing": 1,
        "num_steps": 1000,
        "num_epochs": 10,
        "images_per_step": 256,
        "measured_images": 256,
        "step_seconds": [0.1] * 10,
        "peaks": [(0, GIB // 2), (8, GIB + 80 * 2**20), (64, GIB + 640 * 2**20)],
        "need": GIB + 2560 * 2**20,
        "is_whole": True,
        "view_bytes": 0,
        "parts": [CostItem("validation", 2.0, 10)],
    }
    return Figures(**values | changes)


def pretrain(**options):
    return cfg.build(PretrainConfig, TINY_PRETRAIN | options)


# --- arithmetic -----------------------------------------------------------------------------------------------------


def test_the_time_is_the_sum_of_its_parts():
    found = estimate.conclude(figures(), pretrain(batch_size=256), 5.0)
    assert found.seconds == pytest.approx(1000 * 0.1 + 10 * 2 + 5)
    assert found.parts == pytest.approx({"start": 5, "training": 100, "validation": 20})
    assert found.images_per_second == pytest.approx(2560)
    assert found.seconds_low < found.seconds < found.seconds_high
    assert found.fits and found.batch_size is None and found.micro_batch_size is None


def test_the_range_follows_the_spread_of_the_steps():
    even = estimate.conclude(figures(), pretrain(), 0.0)
    uneven = estimate.conclude(figures(step_seconds=[0.05] * 5 + [0.15] * 5), pretrain(), 0.0)
    assert uneven.seconds == pytest.approx(even.seconds)
    assert uneven.seconds_low == pytest.approx(0.05 * 1000 * (1 - estimate.STEP_MARGIN) + 20 * 0.75)
    assert uneven.seconds_high == pytest.approx(0.15 * 1000 * (1 + estimate.STEP_MARGIN) + 20 * 1.25)
    assert uneven.seconds_high - uneven.seconds_low > 2 * (even.seconds_high - even.seconds_low)


def test_first_steps_with_smaller_views_count_with_their_own_time():
    found = estimate.conclude(figures(num_initial_steps=700, initial_step_seconds=[0.04] * 5), pretrain(), 5.0)
    assert found.parts["training"] == pytest.approx(700 * 0.04 + 300 * 0.1)
    assert found.images_per_second == pytest.approx(256 * 1000 / 58)
    low = (700 * 0.04 + 300 * 0.1) * (1 - estimate.STEP_MARGIN) + 25 * (1 - estimate.PART_MARGIN)
    assert found.seconds_low == pytest.approx(low)


@pytest.mark.parametrize(
    ("step_seconds", "said"), [(0.1, "at 2,560 images/s"), (1.0, "at 256 images/s"), (800.0, "at 0.32 images/s")]
)
def test_a_slow_training_has_a_rate_too(step_seconds, said):
    found = estimate.conclude(figures(step_seconds=[step_seconds] * 5), pretrain(), 0.0)
    assert said in found.sentences()[1]


def test_what_was_extrapolated_is_said_and_less_certain():
    whole = estimate.conclude(figures(), pretrain(), 0.0)
    part = estimate.conclude(figures(measured_images=64, step_seconds=[0.025] * 5, is_whole=False), pretrain(), 0.0)
    assert part.seconds == pytest.approx(whole.seconds)
    assert part.seconds_high > whole.seconds_high
    assert "extrapolated" in part.notes[0]


def test_a_busy_processor_makes_the_range_wider_and_is_said():
    quiet, busy = (estimate.conclude(figures(), pretrain(), 0.0, crowd=crowd) for crowd in (1.0, 2.0))
    assert busy.seconds == quiet.seconds
    assert busy.seconds_low == pytest.approx(quiet.seconds_low / 2)
    assert busy.seconds_high == pytest.approx(quiet.seconds_high * 2)
    assert not quiet.notes and "busy" in busy.notes[0]
    on_gpu = estimate.conclude(figures(device="NVIDIA H100"), pretrain(), 0.0, crowd=2.0)
    assert on_gpu.seconds_high == quiet.seconds_high


def test_memory_grows_by_the_last_two_trials():
    peaks = [(0, 100), (8, 500), (64, 1060)]  # the first images pay for libraries too
    assert estimate.grown(peaks, 64) == 1060
    assert estimate.grown(peaks, 164) == 2060
    assert estimate.fitting(peaks, 2060) == 164
    assert estimate.fitting(peaks, 10) == 0
    assert estimate.fitting([(0, 100), (8, 100)], 200) > 10_000


def test_what_would_fit_fits_and_one_step_more_would_not():
    config = pretrain(batch_size=1024, limit_images=None)
    found = estimate.conclude(figures(free=4 * GIB, need=11 * GIB, images_per_step=1024), config, 0.0)
    assert not found.fits
    limit = estimate.SAFE_SHARE * 4 * GIB / estimate.LONG_RUN
    assert found.batch_size % 8 == 0
    assert GIB + found.batch_size * 10 * 2**20 <= limit < GIB + (found.batch_size + 8) * 10 * 2**20
    assert found.micro_batch_size == found.batch_size
    said = found.memory_sentence()
    assert f"about {estimate.size_text(found.memory)} of memory, and 4.0 GiB are free" in said
    assert f"batch_size {found.batch_size}, or micro_batch_size {found.batch_size}, which keeps the batch" in said


def test_a_suggestion_can_be_divided_among_the_processes():
    config = pretrain(batch_size=1200, devices=3)
    found = estimate.conclude(figures(sharing=3, need=4 * GIB), config, 0.0)
    assert found.memory == 3 * round(4 * GIB * estimate.LONG_RUN)
    assert found.batch_size % 24 == 0
    cfg.build(PretrainConfig, TINY_PRETRAIN | {"devices": 3, "batch_size": found.batch_size})
    assert any("One process was measured" in note for note in found.notes)


def test_with_micro_batches_it_is_they_that_have_to_be_smaller():
    config = pretrain(batch_size=1024, micro_batch_size=512)
    found = estimate.conclude(figures(free=4 * GIB, need=11 * GIB, view_bytes=2**20), config, 0.0)
    assert found.batch_size is None
    assert estimate.LONG_RUN * (GIB + found.micro_batch_size * 10 * 2**20 + GIB) <= estimate.SAFE_SHARE * 4 * GIB


def test_nothing_is_suggested_where_the_batch_does_not_matter():
    config = cfg.build(FinetuneConfig, TINY | {"experiment_version": 0, "freeze_encoder": True})
    found = estimate.conclude(figures(need=11 * GIB), config, 0.0)
    assert found.batch_size is None and "would not help" in found.memory_sentence()


# --- trials, in this process ----------------------------------------------------------------------------------------


@pytest.fixture
def measured(tiny_runs, monkeypatch):
    """Measures a run in this process; returns the figures and the options of each trial."""
    from simclr.lifecycle import prepare

    monkeypatch.setattr(measure, "STEP_SECONDS", 0.05)
    monkeypatch.setattr(measure, "HEAD_STEPS", 10)
    tried = []
    real = measure._try

    def trial(prepared, gauge):
        tried.append(prepared)
        return real(prepared, gauge)

    monkeypatch.setattr(measure, "_try", trial)

    def run(config, free=ROOMY, runs_dir=tiny_runs):
        prepared = prepare.prepare(config, runs_dir)
        return measure.Measurement(prepared, free, lambda what, share: None).figures(), tried

    return run


@pytest.mark.parametrize("is_gpu", [False, True])
def test_the_memory_that_limits_is_that_of_the_device(monkeypatch, is_gpu):
    from types import SimpleNamespace

    import torch

    from simclr.lifecycle import measure
    from simclr.models import compute

    device = torch.device("cuda" if is_gpu else "cpu")
    monkeypatch.setattr(compute, "find_device", lambda *_: device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (75 * GIB, 80 * GIB))
    prepared = SimpleNamespace(config=pretrain(), train=None, data=SimpleNamespace(train=None))
    found = measure.Measurement(prepared, 8 * GIB, lambda what, share: None)
    assert found.free == (75 if is_gpu else 8) * GIB
    assert found.limit == pytest.approx(estimate.SAFE_SHARE * found.free)


def names(found):
    return {part.name for part in found.parts}


def test_a_pretraining_is_tried_from_small_batches_up_to_its_own(measured):
    assert measure.sizes(4096) == [8, 16, 128, 1024, 4096]
    assert measure.sizes(8) == [8] and measure.sizes(3) == [3] and measure.sizes(9) == [8, 9]
    config = pretrain(batch_size=32, limit_images=256, epochs=7, knn_every_epochs=3)
    found, tried = measured(config)
    assert [prepared.config.batch_size for prepared in tried] == [8, 16, 32]
    assert found.is_whole and found.measured_images == found.images_per_step == 32
    assert found.num_steps == 7 * 7  # 230 training images, 7 whole batches
    assert names(found) == {"validation", "kNN accuracy", "checkpoints", "test"}
    assert next(part.times for part in found.parts if part.name == "kNN accuracy") == 3  # epochs 3, 6 and the last
    assert all(seconds > 0 for seconds in found.step_seconds)


def test_smaller_first_views_are_tried_too(measured):
    config = pretrain(batch_size=32, limit_images=256, epochs=7, initial_image_size=8, initial_size_share=0.5)
    found, tried = measured(config)
    assert [prepared.image_size for prepared in tried] == [16, 16, 16, 8]
    assert all(prepared.num_initial_steps == 0 for prepared in tried)
    assert (found.num_initial_steps, len(found.initial_step_seconds)) == (round(0.5 * 49), 5)


def test_a_batch_that_would_not_fit_is_never_tried(measured):
    base = psutil.Process().memory_info().rss
    config = pretrain(batch_size=512, dataset="digits", limit_images=512, image_size=32, val_fraction=0, evaluate=False)
    found, tried = measured(config, free=int((base + 100 * 2**20) / estimate.SAFE_SHARE))
    assert max(prepared.config.batch_size for prepared in tried) < 512
    assert not found.is_whole
    assert found.need > found.free * estimate.SAFE_SHARE
    answer = estimate.conclude(found, config, 1.0)
    assert not answer.fits


@pytest.mark.parametrize("number", [None, 1])
def test_the_processes_that_read_are_chosen_as_the_run_chooses_them(measured, tmp_path, monkeypatch, number):
    from simclr.data import readers

    monkeypatch.setattr(readers.StepCost, "best", lambda cost, cores: 2 if cost.reading > 0 else 0)
    folder = make_folder(tmp_path / "set", {"a": 100, "b": 100})
    options = {"dataset": str(folder), "memory_share": 0, "num_workers": number, "batch_size": 16, "limit_images": None}
    config = pretrain(**options, evaluate=False)
    found, tried = measured(config)
    assert found.num_workers == (2 if number is None else None)
    assert tried[0].config.num_workers == number
    assert tried[-1].config.num_workers == (number or 2)  # from its first step on
    notes = estimate.conclude(found, config, 0.0).notes
    assert any("num_workers 2, chosen by measuring" in note for note in notes) == (number is None)


def test_a_trial_leaves_no_memory_to_the_next(measured, monkeypatch):
    """No gradients and no optimizer's state, three times the network: they would count as the next one's."""
    left = []
    real = measure.PeakMemory.begin

    def begin(self):
        real(self)
        left.append(sum(type(item) is L.Trainer for item in gc.get_objects()))

    monkeypatch.setattr(measure.PeakMemory, "begin", begin)
    gc.collect()
    before = sum(type(item) is L.Trainer for item in gc.get_objects())
    _, tried = measured(pretrain(batch_size=32, limit_images=256, evaluate=False))
    assert len(left) == 3 and max(left) <= before  # fewer where another test's are let go meanwhile
    assert all(weights.grad is None for weights in tried[-1].encoder.network.parameters())


def test_checkpoints_that_are_kept_take_disk(measured):
    options = {"batch_size": 32, "limit_images": 256, "epochs": 40, "evaluate": False}
    few, many = (measured(pretrain(**options, checkpoint_every_epochs=every))[0].disk for every in (0, 2))
    assert few < 2**24  # the last, the best, and the weights
    assert 5 * few < many < 20 * few  # and twenty more


def test_what_a_step_takes_is_tried_without_the_film(measured):
    """It passes many more images through the network at once, and their memory would seem to be that of the batch."""
    found, tried = measured(pretrain(batch_size=32, limit_images=256, film_frames=5, initial_image_size=8))
    assert [prepared.config.film_frames for prepared in tried] == [
        0,
        0,
        5,
        0,
    ]  # growing batches, the whole training, and first steps with smaller views
    assert found.is_whole


def test_micro_batches_are_tried_as_such(measured):
    config = pretrain(batch_size=64, micro_batch_size=16, limit_images=256, dataset="digits")
    found, tried = measured(config)
    sizes = [(prepared.config.batch_size, prepared.config.micro_batch_size) for prepared in tried]
    assert sizes == [(16, 8), (64, 16)]  # two micro batches at least
    assert found.is_whole


def test_many_validation_and_test_images_are_passed_in_part_and_counted_whole(measured, monkeypatch):
    monkeypatch.setattr(measure, "PASS_SECONDS", 0.0)
    monkeypatch.setattr(measure, "EVALUATION_BATCH_SIZE", 64)
    _, tried = measured(pretrain(limit_images=1000, val_fraction=0.5))
    data = tried[-1].data
    assert (data.test.num_images, data.probe.num_images, data.val.num_images) == (64, 64, 32)
    assert data.train.num_images == 500
    assert len(set(data.val.ids.tolist())) == 32


def test_a_head_on_fixed_features_is_tried_as_such(measured, finished_run, finished_runs_dir):
    config = cfg.build(
        FinetuneConfig, TINY | {"experiment_version": finished_run.id, "freeze_encoder": True, "epochs": 50}
    )
    found, _ = measured(config, runs_dir=finished_runs_dir)
    assert names(found) == {"features", "test"}
    assert found.num_steps == 50 * 4
    features = next(part for part in found.parts if part.name == "features")
    assert min(found.step_seconds) < features.seconds  # a step passes no image through the encoder


def test_fine_tuning_and_from_scratch_are_tried_with_their_test(measured, finished_run, finished_runs_dir):
    config = cfg.build(FinetuneConfig, TINY | {"experiment_version": finished_run.id, "early_stopping_patience": 1})
    found, tried = measured(config, runs_dir=finished_runs_dir)
    assert names(found) == {"validation", "checkpoints", "test"}
    assert tried[-1].config.early_stopping_patience is None
    assert any("Early stopping" in note for note in estimate.conclude(found, config, 0.0).notes)


def test_a_trial_changes_no_weights_whatever_the_learning_rate(measured):
    _, tried = measured(pretrain(learning_rate=100.0, optimizer="sgd", evaluate=False))
    weights = tried[-1].encoder.network.parameters()
    assert all(bool(p.isfinite().all()) and float(p.detach().abs().max()) < 10 for p in weights)


# --- the process ----------------------------------------------------------------------------------------------------


def ended(job):
    status = runs.current_status(job)
    return None if status.is_active else status


def test_a_job_finds_the_answer_and_makes_no_run(tiny_runs):
    config = pretrain(knn_every_epochs=0, evaluate=False, name="one & two")
    job = estimate.start_job(config, "auto", tiny_runs)
    assert estimate.start_job(config, "auto", tiny_runs) == job  # a second click
    status = wait_for(lambda: ended(job), "the estimate")
    assert (status.state, status.exit_code) == ("finished", 0), (status, (job / runs.LOG).read_text())
    found = estimate.load(job)
    assert found.fits and 100 * 2**20 < found.memory < 4 * GIB
    assert 0 < found.seconds_low < found.seconds < found.seconds_high < 600
    assert runs.list_runs(tiny_runs) == []
    assert estimate.find_job(config.model_copy(update={"name": "other"}), "auto", tiny_runs) == job
    assert estimate.find_job(config.model_copy(update={"batch_size": 8}), "auto", tiny_runs) is None


@pytest.mark.parametrize("recipe", cfg.recipe_names())
@pytest.mark.parametrize("kind", list(cfg.MODELS))
def test_a_job_is_asked_for_exactly_these_options(recipe, kind):
    more = {"seed": 3, "notes": "two\nlines, = and 'quotes'", "tags": ["a", "b"]}
    more |= {"experiment_version": "a run"} if kind != "pretrain" else {"augmentation": {"hue": 0.25}}
    config = cfg.build(cfg.MODELS[kind], cfg.recipe(recipe, kind) | more)
    command, *flags = estimate.as_flags(config)
    assert parser.parse_run_options(command, flags)[0] == config


def test_a_cancelled_job_leaves_no_process(tiny_runs):
    job = estimate.start_job(pretrain(limit_images=4096, image_size=64), "auto", tiny_runs)

    def measuring():
        status = runs.current_status(job)
        if status.pid is None or not psutil.pid_exists(status.pid):
            return []
        return [child for child in psutil.Process(status.pid).children() if "simclr.measure" in child.cmdline()]

    child = wait_for(measuring, "the measuring process")[0]
    control.request_stop(job)
    assert wait_for(lambda: ended(job), "the end").state == "stopped"
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the end of the measuring")
    assert estimate.load(job) is None


def test_bad_input_is_the_sentence_of_the_training(tiny_runs):
    with pytest.raises(ConfigError, match="batch_size is 5000; allowed: at most"):
        estimate.estimate_run(pretrain(batch_size=5000), tiny_runs)
    with pytest.raises(ConfigError, match="device is gpu:9"):
        estimate.estimate_run(pretrain(), tiny_runs, device="gpu:9")


def test_it_is_ended_before_the_memory_runs_out(monkeypatch):
    class Full:
        total, available = 16 * GIB, 2**20

    monkeypatch.setattr(estimate.psutil, "virtual_memory", lambda: Full)
    measuring = estimate._Measuring([sys.executable, "-c", "import time; time.sleep(60)"], {})
    with pytest.raises(CannotMeasure, match="memory ran out"), measuring as lines:
        next(lines)
    assert measuring.process.returncode == -9


def test_a_crash_is_a_sentence():
    measuring = estimate._Measuring([sys.executable, "-c", "raise SystemExit('no such thing')"], {})
    with pytest.raises(CannotMeasure, match="exit status 1: no such thing"), measuring as lines:
        next(lines)


# --- the command ----------------------------------------------------------------------------------------------------


def answer(**changes):
    values = {
        "device": "CPU",
        "memory": GIB,
        "free": 8 * GIB,
        "fits": True,
        "batch_size": None,
        "micro_batch_size": None,
        "images_per_second": 1000.0,
        "seconds": 125.0,
        "seconds_low": 110.0,
        "seconds_high": 150.0,
        "parts": {"training": 125.0},
        "notes": [],
        "measured": 0.0,
    }
    return Estimate(**values | changes)


def test_the_command_says_it_in_sentences_and_as_json(monkeypatch, capsys, tiny_runs):
    asked = []
    monkeypatch.setattr(estimate, "estimate_run", lambda config, *_, **more: asked.append((config, more)) or answer())
    assert main.main(["estimate", "pretrain", "--batch_size", "32", "--device", "cpu"]) == 0
    assert asked[0][0].batch_size == 32 and asked[0][1]["device"] == "cpu"
    said = capsys.readouterr().out
    assert "It fits: it takes about 1.0 GiB of memory, and 8.0 GiB are free." in said
    assert "about 2 min 05 s (1 min 50 s to 2 min 30 s), at 1,000 images/s" in said
    assert main.main(["estimate", "finetune", "--random_weight_init", "true", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seconds"] == 125.0


def test_the_command_fails_where_it_does_not_fit_and_on_bad_input(monkeypatch, capsys, tiny_runs):
    monkeypatch.setattr(estimate, "estimate_run", lambda *_, **__: answer(fits=False, batch_size=64))
    assert main.main(["estimate", "pretrain"]) == 1
    assert "What would fit: batch_size 64." in capsys.readouterr().out
    for arguments in (["robot"], ["pretrain", "--batch_size", "none"], ["pretrain", "--job_dir", "nowhere"]):
        assert main.main(["estimate", *arguments]) == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_said_to_fit_fits(tiny_runs):
    options = {"limit_images": 2048, "image_size": 32, "batch_size": 1536, "evaluate": False, "knn_every_epochs": 0}
    config = pretrain(**options)
    whole = estimate.estimate_run(config, tiny_runs)
    free = int(0.7 * whole.memory / estimate.SAFE_SHARE)
    found = estimate.estimate_run(config, tiny_runs, free=free)
    # from an eighth of the batch, and rather too much than too little
    assert not found.fits and 0.9 * whole.memory <= found.memory <= 1.6 * whole.memory
    for change in ({"batch_size": found.batch_size}, {"micro_batch_size": found.micro_batch_size}):
        again = estimate.estimate_run(pretrain(**options | change), tiny_runs)
        assert again.memory <= free, change


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_time_that_was_foretold(tiny_runs):
    """`quick` for real, three times: within the range at least twice."""
    config = cfg.build(PretrainConfig, cfg.recipe("quick") | {"epochs": "6"})
    hits = 0
    for _ in range(3):
        found = estimate.estimate_run(config, tiny_runs)
        begin = time.monotonic()
        run = spawn.start(config, tiny_runs)
        wait_for(lambda run=run: not run.status.is_active, "the run", 600)
        hits += found.seconds_low <= time.monotonic() - begin <= found.seconds_high
    assert hits >= 2
