"""A sweep in a pretended Slurm: who waits for whom, how many at once, killed half-way, stopped, resumed, extended."""

import pytest
from pretended_slurm import pretended_slurm  # noqa: F401

from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.hardware import devices
from simclr.launch import control, queue, slurm_allocation, slurm_options, slurm_submit
from simclr.runs import slurm_state
from simclr.sweeps import on_slurm, repeat, start, sweep_file
from simclr.sweeps.on_slurm import OnSlurm

TINY = {"recipe": "quick", "epochs": 1, "limit_images": 40, "batch_size": 20, "image_size": 16, "accelerator": "cpu"}
TWO = {"axes": {"temperature": [0.1, 0.5]}, "seeds": [0], "arms": ["frozen"], "label_fractions": [0.5]}


def sweep(**parts):
    return sweep_file.parse({"title": "Which temperature?", "base": TINY} | parts)


def target(number=None, **values):
    return OnSlurm(slurm_options.build_options(values), number)


@pytest.fixture
def cluster(pretended_slurm, monkeypatch):
    monkeypatch.setattr(devices, "_gpus", list)
    monkeypatch.setattr(queue, "ensure_scheduler", lambda runs_dir: None)
    return pretended_slurm


def by_key(group, runs_dir):
    return {start.key_of(run): run for run in start.runs_of(group, runs_dir)}


def ids(found):
    return [run.status.job_id for run in found]


def finish(run, cluster):
    cluster.becomes(run.status.job_id, "COMPLETED")
    runs.update_status(run.path, state="finished")


def test_each_run_is_a_job_behind_its_pretraining(cluster, tiny_runs):
    wanted = sweep(**TWO)
    group = start.start(wanted, tiny_runs, target(partition="long", time_minutes=5))
    assert start.start(wanted, tiny_runs, target(partition="long", time_minutes=5)) == group  # a double click
    found = start.runs_of(group, tiny_runs)
    assert len(found) == len(cluster.scripts) == 4
    for run in found:
        job_id = run.status.job_id
        assert (run.status.backend, run.status.state) == ("slurm", "queued")
        assert cluster.option(job_id, "job-name") == run.id
        assert (cluster.option(job_id, "partition"), cluster.option(job_id, "time")) == ("long", "5")
        first = None if run.after is None else runs.Run(tiny_runs / run.after).status.job_id
        assert cluster.option(job_id, "dependency") == ("" if first is None else f"afterok:{first}")
        assert cluster.option(job_id, "kill-on-invalid-dep") == ("" if first is None else "yes")
    assert cluster.calls("sinfo") == []  # all are for the CPU


@pytest.mark.parametrize("number", [1, 2, 3, 5])
@pytest.mark.parametrize("parts", [TWO, TWO | {"seeds": 3, "arms": ["frozen", "scratch"]}, TWO | {"axes": {}}])
def test_no_more_run_at_once_than_are_allowed(number, parts):
    wanted = sweep(**parts)
    lanes = on_slurm.lanes_of(wanted, number, start.member_key)
    assert set(lanes.values()) <= set(range(number))
    assert len(lanes) == sum(1 for _ in wanted.members())
    pretrainings = {lanes[start.member_key(member)] for member in wanted.members() if member.arm is None}
    assert len(pretrainings) == min(number, sum(1 for member in wanted.members() if member.arm is None))


def test_a_lane_goes_on_when_the_job_before_has_ended(cluster, tiny_runs):
    group = start.start(sweep(**TWO), tiny_runs, target(1))
    needed = {job_id: cluster.option(job_id, "dependency") for job_id in cluster.scripts}
    assert needed == {"1": "", "2": "afterok:1", "3": "afterany:2", "4": "afterok:3"}
    # added to while it goes on: behind those that are there
    added = start.add_seeds(group, 1, tiny_runs)
    assert [cluster.option(job_id, "dependency") for job_id in ids(added)] == [
        "afterany:4:3:2:1",
        "afterok:5",
        "afterany:6",
        "afterok:7",
    ]
    assert {run.meta["group"]["max_running"] for run in start.runs_of(group, tiny_runs)} == {1}


def test_what_a_kill_has_left_out_is_submitted_and_nothing_twice(cluster, tiny_runs, monkeypatch):
    """Once after sbatch and before the number of the job is written, once before sbatch."""
    wanted, made = sweep(**TWO), []

    def killed_at(place, name):
        original = getattr(slurm_submit, name)

        def call(*arguments):
            made.append(name)
            if len(made) == place:
                raise KeyboardInterrupt
            return original(*arguments)

        patch = pytest.MonkeyPatch()
        patch.setattr(slurm_submit, name, call)
        return patch

    patch = killed_at(2, "_keep_number")
    with pytest.raises(KeyboardInterrupt):
        start.start(wanted, tiny_runs, target(time_minutes=7))
    patch.undo()
    (group,) = {run.group.id for run in runs.run_folders(tiny_runs)}
    assert len(cluster.scripts) == 2
    made.clear()
    patch = killed_at(1, "_submit_job")
    with pytest.raises(KeyboardInterrupt):
        start.resume(group, tiny_runs)
    patch.undo()
    assert len(cluster.scripts) == 2
    assert len(start.resume(group, tiny_runs)) == 2  # the one with a folder and no job, and the one that was not there
    assert start.resume(group, tiny_runs) == []
    found = start.runs_of(group, tiny_runs)
    assert sorted(ids(found)) == ["1", "2", "3", "4"]
    assert {cluster.option(run.status.job_id, "job-name") == run.id for run in found} == {True}
    assert {cluster.option(job_id, "time") for job_id in cluster.scripts} == {"7"}
    assert cluster.option("4", "dependency") == "afterok:3"


def test_a_forgotten_job_is_found_by_its_name(cluster, tiny_runs, monkeypatch):
    group = start.start(sweep(seeds=1), tiny_runs, target())
    (run,) = start.runs_of(group, tiny_runs)
    runs.update_status(run.path, job_id="", created=0.0, queued=0.0)
    assert run.status.state == "failed"
    from simclr.launch import slurm_runs

    slurm_runs.refresh(tiny_runs)
    assert (run.status.job_id, run.status.state) == ("1", "queued")


def test_a_job_of_a_killed_submission_that_begins_first_keeps_the_run(cluster, tiny_runs, monkeypatch):
    original = slurm_submit._submit_job

    def submit(run, *arguments):
        number = original(run, *arguments)
        runs.update_status(run.path, state="starting", job_id="99")
        return number

    monkeypatch.setattr(slurm_submit, "_submit_job", submit)
    group = start.start(sweep(seeds=1), tiny_runs, target())
    assert ids(start.runs_of(group, tiny_runs)) == ["99"]
    assert cluster.calls("scancel") == ["1"]


def test_a_limit_of_the_cluster_is_told_with_how_to_go_on(cluster, tiny_runs, monkeypatch):
    original = slurm_submit._submit_job

    def submit(*arguments):
        if len(cluster.scripts) == 3:
            cluster.refuse("Batch job submission failed: Job violates accounting/QOS policy")
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(slurm_submit, "_submit_job", submit)
        with pytest.raises(ConfigError) as told:
            start.start(sweep(**TWO), tiny_runs, target())
    (group,) = {run.group.id for run in runs.run_folders(tiny_runs)}
    assert str(told.value) == (
        "Slurm does not take the run: Job violates accounting/QOS policy. 3 of 4 runs were added to the group "
        f"{group}; the others: python -m simclr sweep {group} --resume."
    )
    cluster.refuse("")
    assert len(start.resume(group, tiny_runs)) == 1
    assert len(start.runs_of(group, tiny_runs)) == 4


def test_a_group_is_stopped_in_two_calls_and_resumed_with_new_jobs(cluster, tiny_runs):
    group = start.start(sweep(**TWO), tiny_runs, target(time_minutes=9))
    first = runs.Run(next(run.path for run in start.runs_of(group, tiny_runs) if run.status.job_id == "1"))
    cluster.becomes("1", "RUNNING")
    runs.update_status(first.path, state="running", job_state="RUNNING")
    stopped = start.stop(group, tiny_runs)
    assert cluster.calls("scancel") == ["4 3 2", "1"]
    assert (len(stopped.waiting), stopped.running) == (3, [first])
    assert {run.status.state for run in start.runs_of(group, tiny_runs)} == {"stopped"}
    again = start.resume(group, tiny_runs)
    assert ids(again) == ["5", "6", "7", "8"]
    assert [cluster.option(job_id, "dependency") for job_id in ids(again)] == ["", "afterok:5", "", "afterok:7"]
    assert {cluster.option(job_id, "time") for job_id in cluster.scripts} == {"9"}
    assert start.resume(group, tiny_runs) == []


def test_one_job_that_is_gone_keeps_no_other_from_being_stopped(cluster, tiny_runs):
    """Slurm's word about several jobs may be about one of them."""
    group = start.start(sweep(seeds=3), tiny_runs, target())
    program = cluster.folder / "bin" / "scancel"
    said = "scancel: error: Kill job error on job id 2: Invalid job id specified"
    head, _, tail = program.read_text().rpartition("for ")
    program.write_text(f'{head}case "$*" in *2*) echo "{said}" >&2; exit 1;; esac\nfor {tail}')
    start.stop(group, tiny_runs)
    assert cluster.calls("scancel") == ["3 2 1", "3", "2", "1"]
    states = {run.status.job_id: run.status.state for run in start.runs_of(group, tiny_runs)}
    assert (states["1"], states["3"]) == ("stopped", "stopped")
    (cluster.folder / "bin" / "scancel").write_text(
        "#!/bin/sh\necho 'scancel: error: Unable to contact slurm controller' >&2\nexit 1\n"
    )
    group = start.start(sweep(seeds=2), tiny_runs, target())
    with pytest.raises(ConfigError, match="could not be cancelled: Unable to contact slurm controller"):
        start.stop(group, tiny_runs)
    assert {run.status.stop_requested for run in start.runs_of(group, tiny_runs)} == {None}


def test_what_follows_a_failed_one_is_told_so_and_resumed_with_it(cluster, tiny_runs):
    group = start.start(sweep(**TWO | {"axes": {}}), tiny_runs, target())
    follower, first = start.runs_of(group, tiny_runs)
    runs.update_status(first.path, state="failed")
    cluster.becomes("1", "FAILED")
    with pytest.raises(ConfigError, match=f"begins when {first.id} is finished, which is failed: resume that one"):
        slurm_submit.dependency(follower)
    # still in Slurm's queue, and about to be cancelled by it
    assert ids(start.resume(group, tiny_runs)) == ["3", "4"]
    assert cluster.option("4", "dependency") == "afterok:3"
    assert cluster.calls("scancel") == ["2"]
    runs.update_status(follower.path, job_state="CANCELLED", job_reason="DependencyNeverSatisfied 0:0")
    status = follower.status
    assert (status.state, status.reason) == ("stopped", slurm_state.NOT_FINISHED)
    assert status.error == slurm_state.UNBEGUN["error"]


def test_a_job_looks_again_whether_its_pretraining_is_finished(cluster, tiny_runs, monkeypatch, capsys):
    """Slurm takes a job that saved and stopped for one that ended well, and one that it has forgotten too."""
    group = start.start(sweep(**TWO | {"axes": {}}), tiny_runs, target())
    follower, first = start.runs_of(group, tiny_runs)
    runs.update_status(first.path, state="stopped")
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    assert slurm_allocation.run_job(follower.path) == 1
    assert (follower.status.state, follower.status.reason) == ("stopped", slurm_state.NOT_FINISHED)
    assert capsys.readouterr().out.startswith(f"{follower.id}: The pre-training that it begins after")
    with pytest.raises(ConfigError, match="resume that one first"):
        control.resume(follower)
    assert cluster.calls("srun") == []


def test_more_is_added_where_the_group_is(cluster, tiny_runs):
    few = sweep(axes=TWO["axes"], seeds=[0])
    group = start.start(few, tiny_runs, target(2, partition="long"))
    failed, finished = start.runs_of(group, tiny_runs)
    runs.update_status(failed.path, state="failed")
    finish(finished, cluster)
    added = start.complete(group, tiny_runs, more=sweep(**TWO))
    assert [run.status.state for run in sorted(added, key=lambda run: run.after == failed.id)] == ["queued", "stopped"]
    assert ids(added).count("") == 1
    assert {cluster.option(job_id, "partition") for job_id in cluster.scripts} == {"long"}
    assert cluster.option("3", "dependency") == ""  # its pre-training is finished
    again = start.resume(group, tiny_runs)
    assert ids(again) == ["4", "5"]
    assert cluster.option("5", "dependency") == "afterok:4"


def test_a_group_moves_to_slurm_and_back(cluster, tiny_runs, monkeypatch):
    monkeypatch.setattr(queue, "_advance", lambda runs_dir: None)
    group = start.start(sweep(**TWO), tiny_runs, "cpu")
    with pytest.raises(ConfigError, match="does not run in Slurm, so no job there can wait for it"):
        start.complete(group, tiny_runs, target(), sweep(**TWO | {"label_fractions": [1.0]}))
    assert cluster.scripts == {}
    start.stop(group, tiny_runs)
    assert ids(start.resume(group, tiny_runs, target())) == ["1", "2", "3", "4"]
    start.stop(group, tiny_runs)
    assert {run.status.backend for run in start.resume(group, tiny_runs, "cpu")} == {"local"}


def test_seeds_of_a_job_are_jobs(cluster, tiny_runs):
    config = sweep(seeds=1).pretraining(next(iter(sweep(seeds=1).settings())), 3)
    run = slurm_submit.submit(config, tiny_runs, slurm_options.build_options({"time_minutes": 11}))
    group = repeat.repeat(run, 2, tiny_runs, [])
    assert ids(start.runs_of(group, tiny_runs)) == ["3", "2", "1"]
    assert {cluster.option(job_id, "time") for job_id in cluster.scripts} == {"11"}


def test_shell_lines_of_a_changed_folder_come_into_no_script(cluster, tiny_runs):
    group = start.start(sweep(seeds=1), tiny_runs, target())
    (run,) = start.runs_of(group, tiny_runs)
    runs.add_meta(run.path, slurm=run.meta["slurm"] | {"extra_lines": ["touch pwned"]})
    start.add_seeds(group, 1, tiny_runs)
    assert not any("pwned" in script for script in cluster.scripts.values())


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: Which temperature?\n"
        "base: {recipe: quick, epochs: 1, limit_images: 40, batch_size: 20, accelerator: cpu}\n"
        "axes: {temperature: [0.1, 0.5]}\n"
    )
    return path


def test_the_command_takes_the_options_of_a_single_run(cluster, tiny_runs, file, capsys):
    flags = ["--backend", "slurm", "--slurm.time_minutes", "30", "--max_running", "1"]
    assert main(["sweep", str(file), *flags, "--dry_run"]) == 0
    assert capsys.readouterr().err == "2 runs, each a Slurm job of 30 min at a time, 1 at once.\n"
    assert cluster.scripts == {}
    assert main(["sweep", str(file), *flags]) == 0
    said = capsys.readouterr()
    group = said.out.strip()
    assert "submitted: python -m simclr runs" in said.err
    assert cluster.option("2", "dependency") == "afterany:1"
    file.write_text(file.read_text() + "seeds: 1\n")
    assert main(["sweep", str(file), "--extend", group]) == 0
    assert cluster.option("4", "dependency") == "afterany:3"
    assert cluster.option("4", "time") == "30"
    assert main(["sweep", group, "--stop"]) == 0
    assert "4 runs were taken out of the queue, 0 save and end" in capsys.readouterr().err
    assert main(["sweep", group, "--resume", "--slurm.time_minutes", "60", "--max_running", "2"]) == 0
    assert (cluster.option("8", "time"), cluster.option("8", "dependency")) == ("60", "afterany:6")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--max_running", "2"], "max_running is set and backend is queue; allowed: backend slurm."),
        (["--slurm.qos", "a"], "slurm.qos is set and backend is queue; allowed: backend slurm."),
        (["--backend", "local"], "backend is local; allowed: queue or slurm."),
        (["--backend", "slurm", "--max_running", "0"], "max_running is 0; allowed: a whole number from 1 to 10,000."),
        (["--backend", "slurm", "--device", "cpu"], "device is set and backend is slurm; allowed: backend queue."),
        (["--backend", "slurm", "--slurm.time_minutes", "0"], "slurm.time_minutes is 0; allowed: a whole number from"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(cluster, tiny_runs, file, capsys, flags, sentence):
    assert main(["sweep", str(file), "--no_estimate", *flags]) == 2
    assert sentence in capsys.readouterr().err
    assert cluster.scripts == {}


def test_hours_are_not_measured_for_other_machines(cluster, tiny_runs, file, capsys):
    file.write_text(file.read_text() + "method: random\nlimit: 1 hours\n")
    assert main(["sweep", str(file), "--backend", "slurm"]) == 2
    assert "limit is 1 hours and backend is slurm; allowed: a limit of runs." in capsys.readouterr().err
