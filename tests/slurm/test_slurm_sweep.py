"""A sweep under a real Slurm: killed while it is submitted, with a pre-training that fails, stopped and resumed."""

import pytest
from conftest import TINY_PRETRAIN
from test_slurm import LIMIT, ask, command, here, over, runs_dir, trains, watch  # noqa: F401

from simclr import config as cfg
from simclr import runs
from simclr.launch import slurm_options, slurm_submit
from simclr.runs import slurm_state
from simclr.sweeps import start, sweep_file
from simclr.sweeps.on_slurm import OnSlurm

pytestmark = pytest.mark.slurm

OPTIONS = TINY_PRETRAIN | {"limit_images": 300, "epochs": 6, "knn_every_epochs": 0}


def sweep(**parts):
    base = {"recipe": "quick"} | {name: cfg.option_text(value) for name, value in OPTIONS.items() if name != "evaluate"}
    return sweep_file.parse({"title": "Seeds", "base": base, "arms": ["frozen"], "label_fractions": [0.5]} | parts)


def jobs():
    """Names of the jobs that Slurm knows, by number."""
    lines = ask("squeue", "--noheader", "--states=all", "--format=%i %j").splitlines()
    return dict(line.split() for line in lines)


def test_killed_between_submissions_and_then_its_pretrainings_fail(runs_dir, monkeypatch):
    before = jobs()
    lines = ("#SBATCH --hold", "exit 3")
    target = OnSlurm(slurm_options.SlurmOptions(extra_lines=lines))
    original, kept = slurm_submit._keep_number, []

    def keep(run, job_id):
        kept.append(job_id)
        if len(kept) == 3:
            raise KeyboardInterrupt
        original(run, job_id)

    with monkeypatch.context() as patch:
        patch.setattr(slurm_submit, "_keep_number", keep)
        with pytest.raises(KeyboardInterrupt):
            start.start(sweep(seeds=2), runs_dir, target)
    (group,) = {run.group.id for run in runs.run_folders(runs_dir)}
    command("sweep", group, "--resume")
    found = start.runs_of(group, runs_dir)
    new = {number: name for number, name in jobs().items() if number not in before}
    assert new == {run.status.job_id: run.id for run in found}
    assert len(new) == 4
    followers = [run for run in found if run.after]
    ask("scontrol", "release", ",".join(run.status.job_id for run in followers))
    for run in followers:
        watch(run, lambda status: status.reason == "pending: waits for another job", seconds=20)
    ask("scontrol", "release", ",".join(run.status.job_id for run in found if run not in followers))
    for run in followers:
        status, _ = watch(run, over)
        assert (status.state, status.reason) == ("stopped", slurm_state.NOT_FINISHED)
        assert status.error.startswith("The pre-training that it begins after has failed or was stopped")
        first = runs.Run(runs_dir / run.after).status
        assert (first.state, first.reason) == ("failed", "exit status 3")


def test_stopped_and_resumed_one_at_a_time(runs_dir):
    group = start.start(sweep(seeds=[0]), runs_dir, OnSlurm(slurm_options.SlurmOptions(), 1))
    follower, first = start.runs_of(group, runs_dir)
    watch(first, trains())
    stopped = start.stop(group, runs_dir)
    assert (stopped.waiting, stopped.running) == ([follower], [first])
    watch(first, over)
    assert [(run.status.state, run.status.reason) for run in (first, follower)] == [("stopped", "on request")] * 2
    step = first.status.step
    assert step > 0 and start.resume(group, runs_dir) == [first, follower]
    for run in (first, follower):
        status, _ = watch(run, over, seconds=2 * LIMIT)
        assert status.state == "finished", (status, run.log_tail())
    assert first.status.step == 16 * OPTIONS["epochs"] > step
    assert first.log_path.read_text().count("Slurm job ") == 2
    assert follower.log_path.read_text().count("Slurm job ") == 1
