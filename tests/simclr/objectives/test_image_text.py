"""The loss of images and captions against a slow double loop, closed forms and finite differences."""

import math

import pytest
import torch

from simclr.objectives.image_text import image_text_loss


def rows(n, d, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=dtype), torch.randn(n, d, generator=generator, dtype=dtype)


def different(n):
    return torch.arange(n)


def scale_of(temperature):
    return torch.tensor(1 / temperature, dtype=torch.float64)


def slow(images, texts, scale, said):
    """The loss and ranks as the docstring has them, pair by pair in plain Python."""
    images, texts, said = images.tolist(), texts.tolist(), said.tolist()
    n = len(images)

    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    loss, to_text, to_image = 0.0, [], []
    for i in range(n):
        others = [j for j in range(n) if j != i and said[j] != said[i]]
        own = cosine(images[i], texts[i])
        for ranks, candidates in (
            (to_text, [cosine(images[i], texts[j]) for j in others]),
            (to_image, [cosine(images[j], texts[i]) for j in others]),
        ):
            loss += math.log(1 + sum(math.exp(float(scale) * (other - own)) for other in candidates))
            ranks.append(1 + sum(c > own for c in candidates) + 0.5 * sum(c == own for c in candidates))
    return loss / (2 * n), to_text + to_image


@pytest.mark.parametrize("temperature", [0.01, 0.07, 0.5, 10.0])
@pytest.mark.parametrize("said", [[0, 1, 2, 3, 4, 5, 6], [0, 1, 0, 2, 2, 0, 3], [0, 0, 0, 0, 0, 0, 1]])
def test_equals_the_slow_double_loop(said, temperature):
    images, texts = rows(7, 5)
    loss, ranks = image_text_loss(images, texts, scale_of(temperature), torch.tensor(said))
    expected, expected_ranks = slow(images, texts, scale_of(temperature), torch.tensor(said))
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert ranks.tolist() == expected_ranks and ranks.dtype == torch.float32


@pytest.mark.parametrize("n", [2, 9, 256])
def test_equal_rows_give_the_log_of_their_number_and_ranks_of_guessing(n):
    one = torch.ones(n, 4)
    loss, ranks = image_text_loss(one, one, torch.tensor(20.0), different(n))
    assert loss.item() == pytest.approx(math.log(n), rel=1e-6)
    assert ranks.tolist() == [(n + 1) / 2] * (2 * n)


def test_perfect_pairs_on_orthogonal_axes():
    """Positives at similarity 1 and all negatives at 0: log(1 + (N - 1) e^-scale)."""
    z = torch.eye(6, dtype=torch.float64)
    loss, ranks = image_text_loss(z, 3 * z, scale_of(0.25), different(6))
    assert loss.item() == pytest.approx(math.log(1 + 5 * math.exp(-4)), rel=1e-12)
    assert ranks.tolist() == [1.0] * 12


def test_captions_that_say_the_same_are_no_negatives():
    """Groups of two with the same caption, all else equal: N - 1 candidates each; and all alike: nothing to find."""
    one = torch.ones(8, 3)
    loss, ranks = image_text_loss(one, one, torch.tensor(5.0), torch.arange(8) // 2)
    assert loss.item() == pytest.approx(math.log(7), rel=1e-6)
    assert ranks.tolist() == [4.0] * 16
    images, texts = rows(5, 4)
    loss, ranks = image_text_loss(images, texts, scale_of(0.1), torch.zeros(5, dtype=torch.int64))
    assert loss.item() == 0.0 and ranks.tolist() == [1.0] * 10


def test_gradients_are_those_of_finite_differences_also_of_the_scale():
    images, texts = rows(6, 4)
    said = torch.tensor([0, 1, 1, 2, 0, 3])
    log_scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, y, s: image_text_loss(x, y, s.exp(), said)[0],
        (images.requires_grad_(), texts.requires_grad_(), log_scale),
    )
    loss, _ = image_text_loss(images, texts, log_scale.exp(), said)
    (gradient,) = torch.autograd.grad(loss, log_scale)
    assert gradient.isfinite() and gradient != 0


def test_exchanging_the_two_sides_changes_nothing_but_the_order_of_ranks():
    images, texts = rows(8, 5)
    said = torch.tensor([0, 1, 1, 2, 0, 3, 4, 5])
    one, other = (image_text_loss(*pair, scale_of(0.1), said) for pair in ((images, texts), (texts, images)))
    assert one[0].item() == pytest.approx(other[0].item(), rel=1e-12)
    assert torch.equal(one[1].roll(8), other[1])


def test_is_computed_in_float32_under_autocast():
    images, texts = rows(16, 8, dtype=torch.float32)
    expected, _ = slow(images, texts, torch.tensor(100.0), different(16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = image_text_loss(images, texts, torch.tensor(100.0), different(16))[0]
    assert found.dtype == torch.float32 and found.item() == pytest.approx(expected, rel=1e-5)  # bfloat16: off by 1e-3


@pytest.mark.parametrize(
    ("images", "texts", "said", "text"),
    [
        (torch.ones(3, 4), torch.ones(3, 5), torch.arange(3), "allowed: \\(N, D\\) twice"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.arange(2), "allowed: \\(N, D\\) twice"),
        (torch.ones(1, 4), torch.ones(1, 4), torch.arange(1), "at least 2"),
    ],
)
def test_what_cannot_be_contrasted_is_refused(images, texts, said, text):
    with pytest.raises(ValueError, match=text):
        image_text_loss(images, texts, torch.tensor(1.0), said)
