"""Policies: every operation at every strength against torchvision on uint8, what is drawn, and repeatability."""

import math
from dataclasses import replace

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as reference

from simclr import config as cfg
from simclr.config import Augmentation
from simclr.data import shapes
from simclr.views import augment
from simclr.views.factors import JITTER_PARTS, draw_factors, step_by_step
from simclr.views.policies.applying import PolicyPlan
from simclr.views.policies.drawing import (
    CIFAR_PAIRS,
    GEOMETRIC,
    NUM_RANDAUGMENT,
    OPERATIONS,
    SIGNED,
    PolicyDraw,
    strengths_of,
)

# torchvision's name of each operation
THEIRS = {
    "identity": "Identity",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
    "invert": "Invert",
}
OFF = {"crop_probability": 0, "flip_probability": 0, "jitter_probability": 0, "grayscale_probability": 0}
POLICIES = [Augmentation(policy="randaugment", **OFF), Augmentation(policy="autoaugment_cifar", **OFF)]


def pictures(side):
    """(16, 3, side, side) uint8: shapes, noise, a dark, a flat and a grey image."""
    generator = torch.Generator().manual_seed(side)
    found = torch.from_numpy(shapes.generate("test", 16, side).images.copy())
    found[8:12] = torch.randint(0, 256, (4, 3, side, side), generator=generator, dtype=torch.uint8)
    found[12] //= 8
    found[13] = 77
    found[14] = found[14, :1]
    found[15, 1] = 0
    return found


def theirs(image, operation, num_magnitudes, magnitude, sign):
    """torchvision's own operation on one (3, H, W) uint8 image, at its own table's strength."""
    transform = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
    table, signed = transform._AUGMENTATION_SPACE.get(THEIRS[operation], (lambda *_: None, False))
    values = table(num_magnitudes, *image.shape[-2:])
    strength = 0.0 if values is None else float(values[magnitude])
    strength = strength * sign if signed else strength
    how = {"interpolation": InterpolationMode.NEAREST, "fill": transform._fill}
    return transform._apply_image_or_video_transform(image, THEIRS[operation], strength, **how)


def ours(images, operation, strength):
    """Through the plan that views are drawn with; bytes out."""
    num = len(images)
    draw = PolicyDraw(
        torch.full((num, 1), OPERATIONS.index(operation)),
        torch.ones(num, 1, dtype=torch.bool),
        torch.full((num, 1), strength, dtype=torch.float64),
    )
    planes = (images.float() / 255).transpose(0, 1).contiguous()
    PolicyPlan(draw, [torch.arange(num)], images.shape[2], images.device).apply_(planes)
    found = planes.transpose(0, 1) * 255
    assert (found - found.round()).abs().max() < 1e-3
    return found.round().to(torch.uint8)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("num_magnitudes", "side"), [(31, 32), (10, 33), (10, 70)])
def test_each_operation_at_each_magnitude_is_torchvisions_to_the_byte(operation, num_magnitudes, side):
    """Tolerance: none. torchvision's images are uint8; these are float32 that hold whole bytes."""
    images = pictures(side)
    for magnitude in range(num_magnitudes):
        for sign in (1, -1) if operation in SIGNED else (1,):
            strength = float(strengths_of(operation, num_magnitudes)[magnitude]) * sign
            strength += operation in SIGNED and operation not in GEOMETRIC
            found = ours(images, operation, strength)
            expected = [theirs(image, operation, num_magnitudes, magnitude, sign) for image in images]
            assert torch.equal(found, torch.stack(expected)), (magnitude, sign)


def test_the_cifar_policy_and_randaugments_operations_are_torchvisions():
    expected = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)._policies
    found = [tuple((THEIRS[name], share, magnitude) for name, share, magnitude in pair) for pair in CIFAR_PAIRS]
    assert found == expected
    assert {THEIRS[name] for name in OPERATIONS[:NUM_RANDAUGMENT]} == set(v2.RandAugment._AUGMENTATION_SPACE)


@pytest.mark.parametrize("augmentation", POLICIES, ids=["randaugment", "autoaugment_cifar"])
def test_views_are_the_drawn_operations_in_a_row(augmentation):
    images, ids = pictures(32).repeat(5, 1, 1, 1), torch.arange(80)
    found = augment.random_view(images, ids, augmentation, seed=3, epoch=7, view=1, size=32)
    drawn = draw_factors(augmentation, ids, seed=3, epoch=7, view=1, height=32, width=32).policy
    for i, image in enumerate(images):
        for slot in range(2):
            operation, strength = OPERATIONS[drawn.operations[i, slot]], float(drawn.strengths[i, slot])
            if drawn.applied[i, slot]:
                image = by_strength(image, operation, strength)
        assert torch.equal((found[i] * 255).round().to(torch.uint8), image)


def by_strength(image, operation, strength):
    """torchvision's function of one uint8 image at a strength as `PolicyDraw` has it."""
    side, move = image.shape[1], {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    tangent = math.degrees(math.atan(strength))
    by_name = {
        "identity": lambda: image,
        "shear_x": lambda: reference.affine(image, **move | {"shear": [tangent, 0.0]}, center=[0, 0]),
        "shear_y": lambda: reference.affine(image, **move | {"shear": [0.0, tangent]}, center=[0, 0]),
        "translate_x": lambda: reference.affine(image, **move | {"translate": [int(strength * side), 0]}),
        "translate_y": lambda: reference.affine(image, **move | {"translate": [0, int(strength * side)]}),
        "rotate": lambda: reference.rotate(image, strength),
        "brightness": lambda: reference.adjust_brightness(image, strength),
        "color": lambda: reference.adjust_saturation(image, strength),
        "contrast": lambda: reference.adjust_contrast(image, strength),
        "sharpness": lambda: reference.adjust_sharpness(image, strength),
        "posterize": lambda: reference.posterize(image, int(strength)),
        "solarize": lambda: reference.solarize(image, strength),
        "autocontrast": lambda: reference.autocontrast(image),
        "equalize": lambda: reference.equalize(image),
        "invert": lambda: reference.invert(image),
    }
    return by_name[operation]()


def test_a_policy_comes_after_the_mirror_and_before_the_colour_jitter():
    """Of whole images, whose pixels are bytes."""
    images, ids = pictures(40), torch.arange(16)
    augmentation = Augmentation(policy="autoaugment_cifar", **OFF | {"flip_probability": 0.5, "jitter_probability": 1})
    factors = draw_factors(augmentation, ids, seed=0, epoch=0, view=0, height=40, width=40)
    policy = PolicyDraw(
        torch.full((16, 2), OPERATIONS.index("shear_x")),
        torch.tensor([True, False]).repeat(16, 1),
        torch.full((16, 2), 0.3, dtype=torch.float64),
    )
    found = augment.apply_factors(images, replace(factors, policy=policy), 40, 3)
    for i, image in enumerate(images):
        x = by_strength(reference.horizontal_flip(image) if factors.flip[i] else image, "shear_x", 0.3) / 255
        for part in factors.order[i].tolist():
            name = JITTER_PARTS[part]
            x = getattr(reference, f"adjust_{name}")(x, float(getattr(factors, name)[i]))
        torch.testing.assert_close(found[i], x, atol=1e-5, rtol=0)


# --- what is drawn ------------------------------------------------------------------------------------------------


def draw(augmentation, num=60_000, **others):
    where = {"seed": 1, "epoch": 0, "view": 0, "height": 32, "width": 32} | others
    return draw_factors(augmentation, torch.arange(num), **where)


def near(found, share, num):
    """Five standard deviations of a share among `num` draws."""
    return abs(found - share) <= 5 * math.sqrt(share * (1 - share) / num)


@pytest.mark.parametrize("num_ops", [1, 2, 3])
def test_randaugment_draws_each_operation_as_often_and_half_of_them_the_other_way(num_ops):
    drawn = draw(Augmentation(policy="randaugment", randaugment_ops=num_ops, randaugment_magnitude=20)).policy
    assert drawn.operations.shape == drawn.applied.shape == drawn.strengths.shape == (60_000, num_ops)
    assert drawn.applied.all()
    for operations, strengths in zip(drawn.operations.T, drawn.strengths.T, strict=True):
        for code, name in enumerate(OPERATIONS[:NUM_RANDAUGMENT]):
            of_it = strengths[operations == code]
            assert near(len(of_it) / 60_000, 1 / NUM_RANDAUGMENT, 60_000)
            end = float(strengths_of(name, 31)[20])
            if name in SIGNED:
                middle = 0.0 if name in GEOMETRIC else 1.0
                assert set(of_it.tolist()) == {middle - end, middle + end}
                assert near(float((of_it > middle).float().mean()), 0.5, len(of_it))
            else:
                assert set(of_it.tolist()) == {end}
    if num_ops > 1:  # one after the other, independent of each other
        pairs = torch.bincount(drawn.operations[:, 0] * NUM_RANDAUGMENT + drawn.operations[:, 1], minlength=196)
        expected = 60_000 / 196
        assert ((pairs - expected) ** 2 / expected).sum().item() < 300  # 195 degrees of freedom


def test_autoaugment_draws_each_pair_as_often_and_applies_each_operation_with_its_probability():
    drawn = draw(Augmentation(policy="autoaugment_cifar")).policy
    wanted = {}
    for (first, p, m), (second, q, n) in CIFAR_PAIRS:
        key = OPERATIONS.index(first), OPERATIONS.index(second)
        wanted.setdefault(key, []).append((p, q, m, n))
    for key, pairs in wanted.items():
        rows = (drawn.operations == torch.tensor(key)).all(dim=1)
        count = int(rows.sum())
        assert near(count / 60_000, len(pairs) / 25, 60_000)
        for slot in (0, 1):
            share = sum(pair[slot] for pair in pairs) / len(pairs)
            assert near(float(drawn.applied[rows, slot].float().mean()), share, count)
            strengths = drawn.strengths[rows, slot].abs().unique()
            assert len(strengths) <= 2 * len(pairs)
    assert sum(len(pairs) for pairs in wanted.values()) == 25
    twice = drawn[(drawn.operations == OPERATIONS.index("translate_y")).all(dim=1)]
    drawn_of_it = torch.cat([twice.applied, twice.strengths > 0], dim=1).float()  # each by itself
    assert (torch.corrcoef(drawn_of_it.T) - torch.eye(4)).abs().max() < 5 / math.sqrt(len(drawn_of_it))


def test_a_policy_changes_nothing_else_that_is_drawn():
    plain = vars(draw(Augmentation(), 500))
    for policy in ("randaugment", "autoaugment_cifar"):
        with_policy = vars(draw(Augmentation(policy=policy), 500))
        assert plain.pop("policy", None) is None
        assert with_policy.pop("policy") is not None
        assert all(torch.equal(plain[name], with_policy[name]) for name in plain)


@pytest.mark.parametrize("policy", ["randaugment", "autoaugment_cifar"])
def test_views_are_equal_to_the_bit_in_any_batch_and_for_any_number_of_threads(policy):
    images, ids = pictures(40).repeat(4, 1, 1, 1), torch.arange(64)
    how = {"augmentation": Augmentation(policy=policy, blur_probability=0.5), "seed": 5, "epoch": 2, "size": 32}
    first, second = augment.two_views(images, ids, **how)
    assert not torch.equal(first, second)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for rows in order.split(7):
            again = augment.two_views(images[rows], ids[rows], **how)
            assert torch.equal(again[0], first[rows])
            assert torch.equal(again[1], second[rows])
    finally:
        torch.set_num_threads(threads)
    for other in ({"seed": 6}, {"epoch": 3}):
        assert not torch.equal(augment.two_views(images, ids, **how | other)[0], first)


@pytest.mark.parametrize("policy", ["randaugment", "autoaugment_cifar"])
def test_a_view_step_by_step(policy):
    augmentation = Augmentation(policy=policy, randaugment_ops=3, crop_scale_min=0.5)
    images, ids = pictures(32), torch.arange(16)
    factors = draw_factors(augmentation, ids, seed=1, epoch=2, view=1, height=32, width=32)
    views = augment.apply_factors(images, factors, 24, 3)
    num_ops = factors.policy.operations.shape[1]
    for i in range(16):
        one = factors[slice(i, i + 1)]
        names, stages = step_by_step(one)
        assert names[: 2 + num_ops] == ["crop", "flip", *(f"policy {slot}" for slot in range(num_ops))]
        found = augment.apply_factors(images[[i]].expand(len(names), -1, -1, -1).contiguous(), stages, 24, 3)
        assert torch.equal(found[-1], views[i])
        image = (found[1] * 255).round().to(torch.uint8)  # after the mirror
        for slot in range(num_ops):
            applied, code = bool(one.policy.applied[0, slot]), int(one.policy.operations[0, slot])
            image = by_strength(image, OPERATIONS[code], float(one.policy.strengths[0, slot])) if applied else image
            changed = (one.policy.applied & (one.policy.operations > 0))[0, : slot + 1].any()
            assert (found[2 + slot] * 255 - image).abs().max() < (1e-3 if changed else 0.501)  # bytes once changed


def test_a_batch_on_another_device_draws_its_policy_on_the_cpu():
    """`meta` stands in for a GPU: mixing devices is an error there as well, and so is waiting for its numbers."""
    images = torch.empty(16, 3, 32, 32, dtype=torch.uint8, device="meta")
    for augmentation in POLICIES:
        views = augment.two_views(images, torch.arange(16), augmentation, size=32)
        assert views[0].is_meta and views[1].shape == (16, 3, 32, 32)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("policy", "randaug", "randaugment, autoaugment_cifar, or unset"),
        ("policy", 1, "randaugment, autoaugment_cifar, or unset"),
        ("randaugment_ops", 0, "a whole number from 1 to 8"),
        ("randaugment_ops", 1.5, "a whole number from 1 to 8"),
        ("randaugment_magnitude", 31, "a whole number from 0 to 30"),
        ("randaugment_magnitude", "strong", "a whole number from 0 to 30"),
    ],
)
def test_a_wrong_value_is_one_sentence(name, value, allowed):
    for model in (cfg.PretrainConfig, cfg.FinetuneConfig):
        with pytest.raises(cfg.ConfigError) as error:
            cfg.build(model, {"augmentation": {name: value}, "experiment_version": 0})
        assert f"augmentation.{name} is {value}; allowed: {allowed}." in str(error.value).split("\n")
    assert cfg.build(cfg.PretrainConfig, {"augmentation": {"policy": "none"}}).augmentation.policy is None
