"""Supervised runs that differ in their own options: set against the plain ones of the same pre-training and labels."""

import json

import pytest
from dashboard_fixtures import find, group_of, make_group, make_run, make_variants, write_evaluation

from simclr import runs
from simclr.cli.main import main
from simclr.experiments import partners
from simclr.results import group_wording, groups, statistics, trials, wording
from simclr.results.index import RunIndex
from simclr.sweeps import choice

TOP1 = next(item for item in groups.MEASURES if item.key == "val_top1")
WAYS = {"plain": [0.60, 0.62, 0.61], "mixup": [0.70, 0.72, 0.73], "cutmix": [0.66, 0.60, 0.61]}
BOTH = {"arms": ("full", "scratch"), "shares": (0.5, 1.0)}


def compared(folder):
    group = group_of(folder)
    found = groups.cells(group, TOP1, find(folder))
    return group, found, groups.compared_in(group, found, TOP1)


def test_they_are_axes_of_the_group_and_the_pretrainings_have_none(tmp_path):
    make_variants(tmp_path, WAYS)
    group = group_of(tmp_path)
    assert group.axes == {"way": ("plain", "mixup", "cutmix")}
    assert (dict(group.baseline), group.has_variants, group.is_choice) == ({"way": "plain"}, True, True)
    assert groups.measures_of(group, find(tmp_path))[0] == TOP1
    (cell,) = groups.cells(group, groups.MEASURES[0], find(tmp_path))
    assert (cell.setting, len(cell.runs)) == ({}, 3)
    assert groups.compared_in(group, [cell], groups.MEASURES[0])[0].difference is None


def test_each_is_set_against_the_plain_one_with_its_arm_and_labels_seed_by_seed(tmp_path):
    make_variants(tmp_path, WAYS, **BOTH)
    _, _, found = compared(tmp_path)
    where = [(item.cell.share.fraction, item.cell.arm, item.cell.setting["way"]) for item in found]
    assert where == [(s, a, w) for s in (0.5, 1.0) for a in ("full", "scratch") for w in WAYS]
    raw = []
    for item in found:
        if item.cell.setting["way"] == "plain":
            assert (item.difference, item.reference) == (None, None)
            raw.append(None)
            continue
        assert item.reference.setting == {"way": "plain"}
        assert (item.reference.arm, item.reference.share) == (item.cell.arm, item.cell.share)
        factor = item.cell.share.fraction * (0.5 if item.cell.arm == "scratch" else 1.0)
        pairs = zip(WAYS[item.cell.setting["way"]], WAYS["plain"], strict=True)
        own = statistics.difference([factor * (ours - plain) for ours, plain in pairs])
        assert item.difference.mean == pytest.approx(own.mean)
        raw.append(item.difference.p)
    assert [item.p for item in found] == statistics.holm(raw)  # of all eight together
    assert max(p for p in raw if p is not None) < 1 and sum(p is not None for p in raw) == 8


def test_a_seed_that_the_plain_one_lacks_is_in_no_difference(tmp_path):
    make_variants(tmp_path, WAYS | {"plain": [0.60, 0.62]})
    *_, found = compared(tmp_path)
    assert [item.difference and item.difference.num for item in found] == [None, 2, 2]
    assert all(item.p is None for item in found)
    group, cells, _ = compared(tmp_path)
    assert "Two seeds allow no interval; three do." in group_wording.answer(group, cells, TOP1)


def test_one_arm_and_share_says_what_the_best_gives(tmp_path):
    make_variants(tmp_path, WAYS)
    group, found, _ = compared(tmp_path)
    text = group_wording.answer(group, found, TOP1)
    assert text.startswith(
        "**Way mixup, fine-tuned, 100 % of the labels: 71.7 ± 1.5 %** (n 3), 10.7 points above plain"
    )
    assert group_wording.table(group, found, TOP1, find(tmp_path))[0][5] == "against plain"


def test_a_plain_one_that_is_best_stands_beside_the_next(tmp_path):
    make_variants(tmp_path, {"plain": [0.9, 0.8, 0.85], "mixup": [0.7, 0.7, 0.7], "cutmix": [0.8, 0.75, 0.8]})
    group, found, _ = compared(tmp_path)
    assert "points above cutmix" in group_wording.answer(group, found, TOP1)
    assert groups.rival(group, found).setting == {"way": "cutmix"}


def test_several_arms_and_shares_are_answered_together(tmp_path):
    make_variants(tmp_path, WAYS, **BOTH)
    group, found, rows = compared(tmp_path)
    told = [item for item in rows if item.p is not None and item.p < wording.MOST_BY_CHANCE]
    text = group_wording.answer(group, found, TOP1)
    number = wording.number_word(len(told)).capitalize()
    assert 0 < len(told) < 8
    assert text.startswith(f"**{number} of eight settings can be told apart from plain** by three seeds: mixup, ")
    assert "mixup, fine-tuned, 100 % of the labels: +10.7 points (" in text
    assert text.count(" points (") == 3 and "; and one more. " in text  # the table has all
    assert "Accuracy on validation images, paired by seed, corrected for their number (Holm)." in text


def test_where_nothing_can_be_told_the_largest_is_named(tmp_path):
    make_variants(tmp_path, {"plain": [0.60, 0.70, 0.65], "mixup": [0.70, 0.65, 0.70]}, **BOTH)
    group, found, _ = compared(tmp_path)
    text = group_wording.answer(group, found, TOP1)
    assert text.startswith("**None of four settings can be told apart from plain** by three seeds; the largest diff")
    assert "mixup, fine-tuned, 100 % of the labels: +3.3 points (" in text


def test_numbers_are_said_with_their_option(tmp_path):
    make_variants(tmp_path, {"0": [0.5, 0.6], "0.2": [0.6, 0.7]}, arms=("full", "scratch"), axis="mixup_alpha")
    group, found, _ = compared(tmp_path)
    assert group_wording.reference_name(group, TOP1) == "mixup_alpha 0"
    text = group_wording.answer(group, found, TOP1)
    assert text.startswith("**The largest difference from mixup_alpha 0: mixup_alpha 0.2, fine-tuned, 100 % of")


def test_without_any_figure_it_says_how_far_it_is(tmp_path):
    for run in make_variants(tmp_path, {"plain": [0.5], "mixup": [0.6]}, **BOTH):
        runs.update_status(run.path, state="failed")
    group, found, _ = compared(tmp_path)
    assert group_wording.answer(group, found, TOP1) == "No run has a figure: 8 of 9 failed."


def test_one_value_alone_is_no_comparison(tmp_path):
    make_variants(tmp_path, {"plain": [0.5, 0.6, 0.7]})
    group = group_of(tmp_path)
    assert (group.has_variants, group.is_choice) == (False, False)


def test_the_test_of_a_choice_is_beside_the_plain_one(tmp_path):
    make_variants(tmp_path, WAYS | {"second": [0.69, 0.71, 0.72]}, **BOTH)
    found = choice.choose(group_of(tmp_path), find(tmp_path), arm="scratch", labels="0.5")
    assert (found.chosen.setting, found.baseline.setting) == ({"way": "mixup"}, {"way": "plain"})
    assert {(item.arm, item.label_fraction) for item in found.members} == {("scratch", 0.5)}
    assert found.num_settings == 4


def test_the_table_of_the_pretraining_has_the_plain_ones(tmp_path):
    made = make_variants(tmp_path, {"plain": [0.5], "mixup": [0.6]})
    summaries = RunIndex(tmp_path).summaries(max_age=0)
    for run in made:
        write_evaluation(run, 0.5)
    first = next(item for item in summaries if item.kind == "pretrain")
    assert [item.id for item in trials.comparable(first.id, summaries)] == [made[0].id]
    run = make_run(tmp_path, kind="finetune", experiment_version=first.id, seed=0, mixup_alpha=0.2)
    summaries = RunIndex(tmp_path).summaries(max_age=0)
    assert {item.id for item in trials.comparable(first.id, summaries)} == {made[0].id, run.id}


def test_a_variant_is_not_taken_for_a_missing_partner(tmp_path):
    (first,) = make_group(tmp_path, {"": [0.5]}, axis="")
    config = partners.config_of(first, "full", 1.0)
    partner = runs.create(config, tmp_path, recipe="quick", experiment=first.id)
    place = {"id": "g", "title": "W", "baseline": {"way": "plain"}}
    for label, wanted in (("mixup", None), ("plain", partner.id)):
        runs.add_meta(partner.path, group=place | {"setting": {"way": label}})
        summaries = RunIndex(tmp_path).summaries(max_age=0)
        there = partners.partners_there(first, 1.0, summaries, tmp_path)["full"]
        assert (there and there.id) == wanted


def test_the_command_prints_one_table_of_all(tmp_path, capsys):
    make_variants(tmp_path, WAYS, **BOTH)
    assert main(["results", "ways-x7k2", "--runs_dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if "against plain" in line)
    assert sum("mixup" in line and "fine-tuned" in line.lower() for line in lines[lines.index(head) :]) == 2
    assert main(["results", "ways-x7k2", "--format", "json", "--runs_dir", str(tmp_path)]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["difference"] is None for cell in cells] == [cell["setting"]["way"] == "plain" for cell in cells]
