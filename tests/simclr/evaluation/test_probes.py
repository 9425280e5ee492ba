"""The linear probe: against scikit-learn, and that validation images alone choose its strength."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from simclr.evaluation import linear_probe as probes
from simclr.evaluation.linear_probe import fit_linear_probe


def features_like_an_encoders(num_images, num_features=24, num_classes=4, seed=0):
    """Correlated, skewed, on different scales, one feature constant; labels that are only partly linear in them."""
    g = torch.Generator().manual_seed(seed)
    basis = torch.randn(num_features, num_features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    hidden = torch.randn(num_images, num_features, generator=g, dtype=torch.float64)
    noise = 0.7 * torch.randn(num_images, num_classes, generator=g, dtype=torch.float64)
    labels = (hidden[:, :num_classes] + noise).argmax(dim=1)
    features = (hidden @ basis).relu() * torch.logspace(-3, 3, num_features, dtype=torch.float64)
    features[:, 0] = 0.1
    return features, labels


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_a_fit_is_scikit_learns_on_standardized_features(l2):
    features, labels = features_like_an_encoders(400)
    found = fit_linear_probe(features, labels, (features, labels), 4, strengths=(l2,), tolerance=1e-9)
    assert found.l2 == l2
    assert found.c == pytest.approx(1 / (400 * l2))
    spread = features.std(dim=0, correction=0)
    standardized = (features - features.mean(dim=0)) / spread.where(spread > 1e-9, torch.ones_like(spread))
    reference = LogisticRegression(C=found.c, tol=1e-10, max_iter=20_000).fit(standardized, labels)
    expected = torch.from_numpy(reference.predict_log_proba(standardized))
    torch.testing.assert_close(found(features).log_softmax(dim=1), expected, rtol=0, atol=1e-4)


def test_float32_and_the_usual_tolerance_change_next_to_no_answer():
    features, labels = features_like_an_encoders(2_000)
    others, _ = features_like_an_encoders(2_000, seed=2)
    exact = fit_linear_probe(features, labels, None, 4, tolerance=1e-9)
    usual = fit_linear_probe(features.float(), labels, None, 4)
    assert usual.weight.dtype == torch.float32
    assert (exact(others).argmax(dim=1) != usual(others.float()).argmax(dim=1)).float().mean() < 0.002


def test_the_strength_is_the_best_of_all_on_the_validation_features():
    features, labels = features_like_an_encoders(120)
    val = features_like_an_encoders(200, seed=3)
    found = fit_linear_probe(features, labels, val, 4)
    assert tuple(found.tried) == probes.L2_STRENGTHS
    scores = {}
    for l2 in probes.L2_STRENGTHS:  # each from the start, not from the one before
        logits = fit_linear_probe(features, labels, val, 4, strengths=(l2,))(val[0])
        right = int((logits.argmax(dim=1) == val[1]).sum())
        scores[l2] = right, -float(torch.nn.functional.cross_entropy(logits, val[1]))
        assert found.tried[l2][0] == pytest.approx(right / 200, abs=0.011)
    best = max(scores, key=lambda l2: scores[l2])
    assert found.l2 == best
    assert scores[best][0] > scores[probes.L2_STRENGTHS[0]][0]  # it mattered
    assert scores[best][0] > scores[probes.L2_STRENGTHS[-1]][0]


def test_ties_on_few_validation_images_are_decided_by_the_loss():
    features, labels = features_like_an_encoders(120)
    val = (features[:1], labels[:1])
    found = fit_linear_probe(features, labels, val, 4)
    tied = [l2 for l2, (top1, _) in found.tried.items() if top1 == max(top1 for top1, _ in found.tried.values())]
    assert len(tied) > 1
    assert found.l2 == min(tied, key=lambda l2: found.tried[l2][1])


def test_without_validation_features_the_strength_is_the_documented_one():
    features, labels = features_like_an_encoders(120)
    for val in (None, (features[:0], labels[:0])):
        found = fit_linear_probe(features, labels, val, 4)
        assert found.l2 == probes.DEFAULT_L2
        assert found.tried == {}


def test_it_is_the_same_to_the_bit_each_time_and_for_any_scale_of_a_feature():
    features, labels = features_like_an_encoders(300)
    features = features.float()
    first, second = (fit_linear_probe(features, labels, (features, labels), 4) for _ in range(2))
    assert torch.equal(first(features), second(features))
    one = fit_linear_probe(features, labels, None, 4)
    scaled = fit_linear_probe(features * 1024.0, labels, None, 4)
    torch.testing.assert_close(scaled(features * 1024.0), one(features), rtol=1e-3, atol=1e-3)


def test_a_class_without_training_images_is_never_the_answer():
    features, labels = features_like_an_encoders(300)
    keep = labels != 2
    found = fit_linear_probe(features[keep], labels[keep], (features[keep], labels[keep]), 4)
    assert 2 not in found(features).argmax(dim=1)


def test_features_that_cannot_be_fitted_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        fit_linear_probe(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), None, 2)
    with pytest.raises(ValueError, match="all values finite"):
        fit_linear_probe(torch.tensor([[1.0, float("nan")]]), torch.zeros(1, dtype=torch.int64), None, 2)


def test_features_that_are_all_alike_give_the_shares_of_the_classes():
    labels = torch.tensor([0, 0, 0, 1])
    found = fit_linear_probe(torch.full((4, 8), 0.3), labels, None, 2)
    torch.testing.assert_close(
        found(torch.full((1, 8), 0.3)).softmax(dim=1), torch.tensor([[0.75, 0.25]]), atol=1e-3, rtol=0
    )
