"""Few labels: the draws, both classifiers and the interval against slow references and closed forms."""

import json
import math
import random

import numpy as np
import pytest
from conftest import make_folder
from scipy import stats
from scipy.optimize import minimize

from simclr import runs
from simclr.cli.main import main
from simclr.config import ConfigError
from simclr.evaluation import few_shot, kept, protocols
from simclr.runs import Run


def features(num, classes=4, width=6, spread=1.0, seed=0):
    """Rows around a centre for each class, labels in turn, and ids."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num) % classes
    centers = np.random.default_rng(99).normal(size=(classes, width))
    rows = centers[labels] + spread * generator.normal(size=(num, width))
    return rows.astype(np.float32), labels, np.arange(num)


def test_a_draw_takes_k_of_each_class_and_those_with_fewer_are_part_of_it():
    _, labels, ids = features(61)
    for order, ranks in few_shot.draws(labels, ids, 5, seed=0):
        assert sorted(order) == list(range(61))
        taken = [set(order[ranks < k].tolist()) for k in (1, 5, 10)]
        assert [len(each) for each in taken] == [4, 20, 40]
        assert taken[0] < taken[1] < taken[2]
        for each, k in zip(taken, (1, 5, 10), strict=True):
            assert [list(labels[list(each)]).count(number) for number in range(4)] == [k] * 4


def test_draws_differ_by_task_and_seed_and_take_each_image_equally_often():
    labels, ids = np.zeros(20, dtype=np.int64), np.arange(20)
    firsts = [int(order[0]) for order, _ in few_shot.draws(labels, ids, 4000, seed=0)]
    counts = np.bincount(firsts, minlength=20)
    assert stats.chisquare(counts).pvalue > 1e-3
    again = [int(order[0]) for order, _ in few_shot.draws(labels, ids, 30, seed=0)]
    other = [int(order[0]) for order, _ in few_shot.draws(labels, ids, 30, seed=1)]
    assert firsts[:30] == again != other


def test_what_is_drawn_follows_the_image_and_not_its_place():
    _, labels, ids = features(40)
    shuffled = np.random.default_rng(3).permutation(40)
    for (order, ranks), (other, their) in zip(
        few_shot.draws(labels, ids, 5, 0), few_shot.draws(labels[shuffled], ids[shuffled], 5, 0), strict=True
    ):
        assert set(ids[order[ranks < 3]]) == set(ids[shuffled][other[their < 3]])


def slow_nearest_mean(support, labels, query):
    best, nearest = None, math.inf
    for number in sorted(set(labels)):
        rows = [row for row, label in zip(support, labels, strict=True) if label == number]
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        distance = math.dist(mean, query)
        if distance < nearest:
            best, nearest = number, distance
    return best


def test_nearest_mean_equals_a_slow_count():
    rows, labels, _ = features(33, classes=5, spread=2.0)
    labels = labels * 3 - 1 + 1  # classes that are not 0, 1, 2
    queries = features(200, classes=5, spread=2.0, seed=5)[0]
    expected = [slow_nearest_mean(rows.tolist(), labels.tolist(), query) for query in queries.tolist()]
    assert few_shot.nearest_mean(rows, labels, queries).tolist() == expected
    assert len(set(expected)) == 5


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_is_the_minimum_of_its_loss(classes):
    """Cross-entropy summed over the images plus half the squared weights, bias free: minimized by plain scipy."""
    rows, labels, _ = features(24, classes=classes, width=3, spread=1.5)
    queries = features(300, classes=classes, width=3, spread=1.5, seed=8)[0]

    def loss(flat):
        weight, bias = flat[: classes * 3].reshape(classes, 3), flat[classes * 3 :]
        logits = rows @ weight.T + bias
        logits -= logits.max(axis=1, keepdims=True)
        log_shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        # two classes are told apart by the one difference of their weights, whose penalty is twice that of both
        penalty = 0.5 * (weight**2).sum() * (2 if classes == 2 else 1)
        return penalty - log_shares[np.arange(24), labels].sum()

    found = minimize(loss, np.zeros(classes * 4), method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-14})
    weight, bias = found.x[: classes * 3].reshape(classes, 3), found.x[classes * 3 :]
    logits = queries @ weight.T + bias
    agree = (few_shot.logistic(rows, labels, queries) == logits.argmax(axis=1)).mean()
    assert agree >= 0.99


def test_rows_are_scaled_to_length_one_so_that_scale_changes_nothing():
    rows = features(12)[0]
    assert np.linalg.norm(few_shot.unit_rows(rows), axis=1) == pytest.approx(np.ones(12), abs=1e-6)
    assert (few_shot.unit_rows(np.zeros((2, 3), dtype=np.float32)) == 0).all()
    bank, labels, ids = features(80)
    queries, truth, _ = features(50, seed=4)
    scale = np.linspace(0.1, 10, 80, dtype=np.float32)[:, None]
    plain, scaled = (few_shot.few_shot(x, labels, ids, queries, truth, num_tasks=5) for x in (bank, bank * scale))
    for a, b in zip(plain, scaled, strict=True):
        assert a.accuracies == pytest.approx(b.accuracies, abs=0.03)


def test_identical_features_are_judged_at_chance():
    bank, labels, ids = features(80)
    found = few_shot.few_shot(bank * 0 + 1, labels, ids, np.ones((40, 6), np.float32), np.arange(40) % 4, num_tasks=7)
    assert [item.accuracies for item in found] == [(0.25,) * 7] * 6


def test_features_without_the_class_are_judged_near_chance():
    generator = np.random.default_rng(0)
    bank, queries = (generator.normal(size=(n, 16)).astype(np.float32) for n in (400, 2000))
    found = few_shot.few_shot(bank, np.arange(400) % 10, np.arange(400), queries, np.arange(2000) % 10, num_tasks=30)
    for item in found:
        assert item.numbers["mean"] == pytest.approx(0.1, abs=0.01)


def test_separable_features_are_all_right():
    labels, truth = np.arange(80) % 4, np.arange(40) % 4
    found = few_shot.few_shot(
        np.eye(4, dtype=np.float32)[labels], labels, np.arange(80), np.eye(4, dtype=np.float32)[truth], truth
    )
    assert [(item.shots, item.classifier) for item in found] == [
        (k, name) for k in (1, 5, 10) for name in ("mean", "logistic")
    ]
    assert all(item.accuracies == (1.0,) * 100 for item in found)
    assert found[0].numbers == {"mean": 1.0, "deviation": 0.0, "num_tasks": 100, "low": 1.0, "high": 1.0}


def test_the_interval_is_students_of_the_mean_over_draws():
    bank, labels, ids = features(100, spread=1.5)
    queries, truth, _ = features(60, spread=1.5, seed=2)
    for item in few_shot.few_shot(bank, labels, ids, queries, truth, num_tasks=25):
        values = item.accuracies
        low, high = stats.t.interval(0.95, 24, np.mean(values), stats.sem(values))
        assert item.numbers["low"] == pytest.approx(low) and item.numbers["high"] == pytest.approx(high)
        assert item.numbers["mean"] == pytest.approx(np.mean(values))
        assert item.numbers["num_tasks"] == 25


def test_the_accuracy_is_that_of_each_draw_judged_by_hand():
    bank, labels, ids = features(60, spread=2.0)
    queries, truth, _ = features(50, spread=2.0, seed=2)
    (found,) = [
        item
        for item in few_shot.few_shot(bank, labels, ids, queries, truth, shots=[5], num_tasks=6)
        if item.classifier == "mean"
    ]
    unit, unit_queries = few_shot.unit_rows(bank), few_shot.unit_rows(queries)
    for accuracy, (order, ranks) in zip(found.accuracies, few_shot.draws(labels, ids, 6, 0), strict=True):
        chosen = order[ranks < 5]
        right = [
            slow_nearest_mean(unit[chosen].tolist(), labels[chosen].tolist(), query) == label
            for query, label in zip(unit_queries.tolist(), truth, strict=True)
        ]
        assert accuracy == pytest.approx(sum(right) / 50)


def test_more_labels_are_worth_more():
    bank, labels, ids = features(200, spread=1.5)
    queries, truth, _ = features(300, spread=1.5, seed=2)
    means = {
        (item.shots, item.classifier): item.numbers["mean"]
        for item in few_shot.few_shot(bank, labels, ids, queries, truth, num_tasks=20)
    }
    for name in few_shot.CLASSIFIERS:
        assert means[1, name] < means[5, name] < means[10, name]


def test_a_class_with_fewer_images_gives_all_of_them():
    bank, _, _ = features(30)
    labels = np.array([0] * 12 + [1] * 12 + [2] * 3 + [3] * 3)
    queries, truth, _ = features(20, seed=2)
    found = few_shot.few_shot(bank, labels, np.arange(30), queries, truth, num_tasks=4)
    assert [item.num_smaller for item in found] == [0, 0, 2, 2, 2, 2]
    for order, ranks in few_shot.draws(labels, np.arange(30), 4, 0):
        assert np.bincount(labels[order[ranks < 5]]).tolist() == [5, 5, 3, 3]
    few = few_shot.few_shot(bank[:8], np.arange(8) % 4, np.arange(8), queries, truth, num_tasks=4)
    assert [len(item.accuracies) for item in few] == [4, 4, 1, 1, 1, 1]  # two of each: with 5 all draws are the same
    assert few[-1].numbers["low"] is None and few[-1].num_smaller == 4


def test_bad_numbers_are_refused():
    bank, labels, ids = features(20)
    for wrong in ({"shots": [0]}, {"shots": []}, {"num_tasks": 0}):
        with pytest.raises(ValueError, match="allowed: at least 1"):
            few_shot.few_shot(bank, labels, ids, bank, labels, **wrong)
    with pytest.raises(ValueError, match="0 queries"):
        few_shot.few_shot(bank, labels, ids, bank[:0], labels[:0])
    with pytest.raises(ConfigError, match="are of one class; allowed: at least two"):
        few_shot.few_shot(bank, labels * 0, ids, bank, labels)


def test_progress_is_told_and_may_end_the_work():
    bank, labels, ids = features(20)
    told = []
    few_shot.few_shot(bank, labels, ids, bank, labels, num_tasks=3, shots=[2], on_task=told.append)
    assert told == pytest.approx([1 / 3, 2 / 3, 1])


# --- of a run -------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(finished_run, tiny_runs):
    import shutil

    return Run(shutil.copytree(finished_run.path, tiny_runs / finished_run.id))


def test_another_data_set_is_judged_with_few_labels_and_kept_apart(trained, capsys):
    before = (trained.path / runs.EVALUATION).read_bytes()
    arguments = ["evaluate", trained.id, "--dataset", "digits", "--protocol", "knn,linear,fewshot"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "95 % interval" in said and "n = 100 draws" in said and "fewshot_10_logistic_top1" in said
    assert (trained.path / runs.EVALUATION).read_bytes() == before
    (path,) = (trained.path / runs.EVALUATIONS).iterdir()
    stored = json.loads(path.read_text())
    assert set(few_shot.figure_names()) < set(stored) and len(stored["classes"]) == 10
    about = stored["protocols"]["fewshot"]
    for name in few_shot.figure_names():
        numbers = about["figures"][name]
        assert numbers["low"] < stored[name] == numbers["mean"] < numbers["high"]
        assert numbers["num_tasks"] == 100
    assert stored["test/fewshot_1_mean_top1"] < stored["test/fewshot_10_mean_top1"]
    assert about["smaller_classes"] == {} and "of which all are used" not in about["text"]
    assert main([*arguments, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["same"] and again["added"] == [] and again["file"] == str(path)


def test_its_own_few_label_figures_are_added_to_what_training_stored(trained):
    before = trained.evaluation
    assert main(["evaluate", trained.id, "--protocol", "fewshot"]) == 0
    after = trained.evaluation
    assert set(after) - set(before) == set(few_shot.figure_names())
    assert all(after[name] == before[name] for name in before if name != "protocols")
    # 58 training images of 10 classes: 5 or 6 of each, all of which are taken where 10 are asked for
    about = after["protocols"]["fewshot"]
    assert about["smaller_classes"] == {"10": 10}
    assert about["text"].endswith("There are fewer than 10 in 10 of 10 classes, of which all are used.")
    assert about["figures"]["test/fewshot_10_mean_top1"]["num_tasks"] == 1


def test_the_untrained_network_is_judged_beside_and_never_in_the_runs_own_figures(trained, capsys):
    before = (trained.path / runs.EVALUATION).read_bytes()
    for dataset in ([], ["--dataset", "shapes"], ["--dataset", "digits"]):
        assert main(["evaluate", f"untrained:{trained.id}", "--protocol", "knn", *dataset, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["encoder"] == "untrained" and "evaluations/" in found["file"]
    assert (trained.path / runs.EVALUATION).read_bytes() == before
    assert sorted(path.name.partition("-")[0] for path in (trained.path / runs.EVALUATIONS).iterdir()) == [
        "digits",
        "shapes",
    ]
    by_set = {values["dataset"]: values for values in kept.others(trained)}
    assert all(values["encoder"] == "untrained" for values in by_set.values())
    own = protocols.evaluate_run(trained, ["knn"], apart=True)
    assert own["dataset"] == "shapes" and "encoder" not in own
    assert kept.other_path(trained, own) != kept.other_path(trained, by_set["shapes"])


def test_the_untrained_network_is_the_one_that_training_began_with(trained):
    """Judged by the weights of a run that has trained nothing: a rate of zero changes none of them."""
    from simclr import config as cfg
    from simclr.lifecycle.train import train

    options = trained.config | {"learning_rate": 1e-12, "eta_min": 0.0, "weight_decay": 0.0, "epochs": 1, "name": None}
    still = train(cfg.build(cfg.PretrainConfig, {**options, "version": None}), runs_dir=trained.path.parent)
    assert still.status.state == "finished", still.status.error
    import torch

    from simclr.models import backbones, weight_reading

    torch.manual_seed(trained.config["seed"])
    network = backbones.build_encoder(trained.config["backbone"], 16).network
    state = weight_reading.read_state(still.model_path)
    for name, value in network.named_parameters():
        assert torch.allclose(state[name], value, atol=1e-6), name


def test_figures_of_earlier_weights_are_not_taken_for_those_of_now(trained):
    assert main(["evaluate", trained.id, "--dataset", "digits", "--protocol", "knn"]) == 0
    assert [values["dataset"] for values in kept.others(trained)] == ["digits"]
    import torch

    from simclr.models import weight_reading

    state = weight_reading.read_state(trained.model_path)
    torch.save({key: value * 0.5 for key, value in state.items()}, trained.model_path)
    assert kept.others(trained) == []
    (file,) = (trained.path / runs.EVALUATIONS).iterdir()
    file.write_text("{damaged")
    assert kept.others(trained) == []


def test_every_pair_of_wrong_options_is_one_sentence(trained, capsys, tmp_path):
    plain = make_folder(tmp_path / "plain", {".": 12})
    one = make_folder(tmp_path / "one", {"train/a": 6, "test/a": 3})  # tells no class from another
    wrong = {
        "--dataset": ["nowhere", str(plain), str(one), ""],
        "--protocol": ["fewshots", "classifier", ""],
        "RUN": ["nothing", "untrained:nothing", "untrained:"],
    }
    good = {"--dataset": "digits", "--protocol": "fewshot", "RUN": trained.id}
    names = list(wrong)
    random.seed(1)
    for first in names:
        for second in names:
            for a in wrong[first]:
                b = random.choice(wrong[second])
                chosen = good | {first: a} | ({second: b} if second != first else {})
                arguments = ["evaluate", chosen["RUN"], *(part for n in names[:2] for part in (n, chosen[n]))]
                assert main(arguments) == 2, arguments
                captured = capsys.readouterr()
                assert captured.out == "" and captured.err.strip().count("\n") == 0, captured.err
                assert "Traceback" not in captured.err and captured.err.rstrip().endswith((".", "?"))
    assert not (trained.path / runs.EVALUATIONS).exists()
