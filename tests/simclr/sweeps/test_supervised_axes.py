"""Options of supervised runs in a sweep: combinations behind one pre-training, what meta keeps, what is refused."""

import pytest
from test_start import begun, run_all  # noqa: F401  (a fixture)

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.sweeps import cost, settings, start, sweep_file

TINY = {"recipe": "quick", "epochs": 1, "limit_images": 40, "batch_size": 20, "image_size": 16, "accelerator": "cpu"}
WAYS = {
    "plain": {},
    "mixup": {"mixup_alpha": 0.2},
    "cutmix": {"cutmix_alpha": 1},
    "randaugment": {"augmentation": {"policy": "randaugment"}},
}
SUPERVISED = {"base": {"max_steps": 7, "learning_rate": 0.001}, "axes": {"way": WAYS}}


def sweep(**parts):
    whole = {"title": "What do they give?", "base": TINY, "arms": ["full", "scratch"], "label_fractions": [0.5, 1]}
    return sweep_file.parse(whole | {"supervised": SUPERVISED} | parts)


def test_all_ways_stand_behind_one_pretraining_of_each_seed():
    found = sweep(seeds=2)
    members = list(found.members())
    assert len(members) == 2 * (1 + 2 * 4 * 2) == found.members_per_setting
    assert [(m.seed, m.arm) for m in members if m.arm is None] == [(0, None), (1, None)]
    behind = [(m.share.fraction, m.variant.title, m.arm) for m in members[1:17]]
    assert behind == [(share, f"way {way}", arm) for share in (0.5, 1) for way in WAYS for arm in ("full", "scratch")]
    assert all(m.pretraining == members[0] for m in members[1:17])
    assert (found.num_settings, found.num_variants, found.chooses) == (1, 4, True)
    assert not found.pretraining(members[0].setting, 0).evaluate  # what compares reads no test image
    assert sweep_file.described(found).endswith("; each with way plain, mixup, cutmix and randaugment")


def test_each_way_has_its_options_and_those_that_all_share():
    found = sweep()
    plain = cfg.to_dict(found.pretraining(found.settings()[0], 42))
    by_way = {m.variant.labels["way"]: found.supervised(plain, "0", m) for m in found.members() if m.arm == "scratch"}
    assert {(config.max_steps, config.learning_rate) for config in by_way.values()} == {(7, 0.001)}
    assert [(config.mixup_alpha, config.cutmix_alpha) for config in by_way.values()] == [
        (0, 0),
        (0.2, 0),
        (0, 1),
        (0, 0),
    ]
    assert by_way["plain"].augmentation is None
    assert by_way["randaugment"].augmentation == cfg.CROP_AND_FLIP.model_copy(update={"policy": "randaugment"})
    assert {config.accelerator for config in by_way.values()} == {"cpu"}  # as the pre-training


def test_axes_of_both_kinds_are_combined():
    found = sweep(axes={"temperature": [0.1, 0.5]}, supervised={"axes": {"mixup_alpha": [0, 0.2], "epochs": [1, 2]}})
    members = [member for member in found.members() if member.arm == "full" and member.share.fraction == 1]
    assert [tuple(member.labels.values()) for member in members] == [
        (t, m, e) for t in ("0.1", "0.5") for m in ("0", "0.2") for e in ("1", "2")
    ]
    assert len(list(found.members())) == 2 * (1 + 2 * 2 * 4)


@pytest.mark.parametrize(
    "supervised",
    [
        SUPERVISED,
        {"base": {"epochs": 3}},
        {"axes": {"mixup_alpha": [0, 0.2, 1]}},
        {"axes": {"way": {"pairs": {"mixup": {"mixup_alpha": 0.2}, "more": {"epochs": 9}}}}},
    ],
)
def test_what_meta_keeps_is_the_same_sweep(supervised):
    found = sweep(supervised=supervised)
    assert sweep_file.parse(settings.to_plain(found)) == found


FAULTS = {
    "a third part": ({"values": {}}, "supervised.values is not a part of a sweep; allowed: base, axes."),
    "no names": ([1], r"supervised is \[1\]; allowed: names with values."),
    "axes that are a list": ({"axes": [1]}, r"supervised.axes is \[1\]; allowed: names with values."),
    "an unknown option": (
        {"base": {"mixup": 1}},
        "supervised.base: mixup is not an option of a supervised run; did you mean mixup_alpha",
    ),
    "one of pre-trainings": (
        {"axes": {"temperature": [1, 2]}},
        "supervised.axes: temperature is not an option of a supervised run",
    ),
    "a value that is none": ({"axes": {"mixup_alpha": [0, "much"]}}, "mixup_alpha is much; allowed: a number from 0"),
    "a value twice": ({"axes": {"mixup_alpha": [1, 1.0]}}, "supervised.axes.mixup_alpha has 1 twice"),
    "an empty list": ({"axes": {"mixup_alpha": []}}, r"supervised.axes.mixup_alpha is \[\]; allowed: a list"),
    "the same options twice": (
        {"axes": {"way": {"plain": {}, "none": {"mixup_alpha": 0}}}},
        "supervised.axes give the same options twice, as way plain and as way none",
    ),
    "an option in two axes": (
        {"axes": {"mixup_alpha": [0, 1], "way": {"a": {"mixup_alpha": 2}, "b": {}}}},
        "mixup_alpha is set by the axes mixup_alpha and way",
    ),
    "the seed": ({"base": {"seed": 1}}, "supervised.base: seed is set; allowed: seeds."),
    "the arm": ({"base": {"freeze_encoder": True}}, "supervised.base: freeze_encoder is set; allowed: arms."),
    "the labels": (
        {"axes": {"label_fraction": [0.1, 1]}},
        "supervised.axes: label_fraction is set; allowed: label_fractions, labels_per_class and subset_seeds.",
    ),
    "the network": (
        {"axes": {"way": {"a": {"backbone": "resnet18"}}}},
        "supervised.axes.way.a: backbone is set; allowed: base, whose backbone its supervised runs have too.",
    ),
    "a test": ({"base": {"evaluate": True}}, "supervised.base: evaluate is set; allowed: no such option here"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_sentence(name):
    supervised, sentence = FAULTS[name]
    with pytest.raises(ConfigError, match=sentence) as caught:
        sweep(supervised=supervised)
    assert "\n" not in str(caught.value)


def test_what_does_not_go_with_an_arm_or_without_one_is_said():
    with pytest.raises(ConfigError, match=r"mixup_alpha is 0.2; allowed: 0 with .*\(with way mixup, frozen\)"):
        sweep(arms=["frozen", "full"])
    with pytest.raises(ConfigError, match="supervised is set and arms is not; allowed: arms, any of frozen"):
        sweep(arms=[], label_fractions=None)
    both = {"epochs": [1, 2]}
    with pytest.raises(ConfigError, match="epochs is an axis of pre-trainings and of supervised runs; allowed: "):
        sweep(axes=both, supervised={"axes": both})


def test_an_extension_keeps_what_the_others_are_compared_with():
    before = sweep(supervised={"axes": {"mixup_alpha": [0, 0.2]}})
    both = settings.extended(before, sweep(supervised={"axes": {"mixup_alpha": [1, 0]}}, seeds=[1]))
    assert [value.label for value in both.supervised_axes[0].values] == ["0", "0.2", "1"]
    assert both.seeds == (42, 1)
    for other, sentence in (
        ({"axes": {"cutmix_alpha": [0, 1]}}, "supervised.axes are cutmix_alpha and were mixup_alpha"),
        ({"base": {"epochs": 2}, "axes": {"mixup_alpha": [0, 1]}}, "supervised.base is .*epochs.* and was {}"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            settings.extended(before, sweep(supervised=other))
    tested = sweep(supervised={"axes": {"mixup_alpha": [0]}})
    with pytest.raises(ConfigError, match="have been tested"):
        settings.extended(tested, before)


def test_the_runs_share_a_pretraining_and_say_what_they_are_compared_with(begun, tiny_runs):
    wanted = sweep(seeds=2)
    group = start.start(wanted, tiny_runs)
    found = start.runs_of(group, tiny_runs)
    assert len(found) == len({run.name for run in found}) == 34
    assert start.sweep_of(found) == wanted
    assert {start.key_of(run) for run in found} == {start.member_key(member) for member in wanted.members()}
    first = {run.config["seed"]: run for run in found if run.kind == "pretrain"}
    for run in found:
        assert run.group.baseline == (("way", "plain"),)
        if run.kind != "pretrain":
            assert run.after == run.experiment == first[run.config["seed"]].id
            assert run.group.is_variant == (run.group.setting != {"way": "plain"})
            assert (run.config["mixup_alpha"] > 0) == (run.group.setting == {"way": "mixup"})
            assert run.config["max_steps"] == 7
    assert {tuple(run.group.setting) for run in first.values()} == {()}
    assert [run.kind for run in run_all(tiny_runs, begun)[:3]] == ["pretrain", "finetune", "scratch"]
    more = sweep(seeds=2, supervised=SUPERVISED | {"axes": {"way": WAYS | {"both": {"mix_probability": 0.5}}}})
    added = start.complete(group, tiny_runs, more=more)
    assert {run.group.setting["way"] for run in added} == {"both"}
    assert len(added) == 2 * 2 * 2  # no further pre-training
    assert start.complete(group, tiny_runs) == []


def test_a_group_without_such_axes_has_no_baseline(begun, tiny_runs):
    group = start.start(sweep(supervised={"base": {"epochs": 3}}), tiny_runs)
    for run in start.runs_of(group, tiny_runs):
        assert (run.group.baseline, run.group.is_variant) == ((), False)
        assert run.config["epochs"] == (1 if run.kind == "pretrain" else 3)
        assert run.config["evaluate"]  # nothing is chosen


def test_a_policy_is_a_kind_of_its_own_in_the_cost_and_mixing_is_not(monkeypatch, tmp_path):
    measured = []

    def estimate_run(config, runs_dir, **more):
        measured.append(config)
        return cost.estimate.Estimate("CPU", 0, 0, True, None, None, 1.0, 60.0, 50.0, 90.0, {}, [], 0.0, disk=2**20)

    monkeypatch.setattr(cost.estimate, "estimate_run", estimate_run)
    found = cost.estimate_cost(sweep(label_fractions=[1], seeds=3), tmp_path, "cpu")
    policies = [config.augmentation and config.augmentation.policy for config in measured[1:]]
    assert (measured[0].kind, policies) == ("pretrain", [None, "randaugment"])
    assert {config.max_steps for config in measured[1:]} == {7}
    assert (found.num_runs, found.seconds) == (27, 27 * 60)


def test_damaged_notes_of_a_baseline_are_none(begun, tiny_runs):
    (run,) = start.runs_of(start.start(sweep(arms=[], label_fractions=None, supervised={}), tiny_runs), tiny_runs)
    for damaged in ("plain", 3, [1], None):
        runs.add_meta(run.path, group=run.meta["group"] | {"baseline": damaged})
        assert runs.Run(run.path).group.baseline == ()
