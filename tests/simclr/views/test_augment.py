"""Views: each operation against torchvision, the distribution of what is drawn, and its repeatability."""

import math
from itertools import permutations

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from simclr.config import Augmentation
from simclr.data import shapes
from simclr.views import augment, blur, color, numerics, resampling
from simclr.views.compiled import kernels
from simclr.views.factors import JITTER_PARTS, VALIDATION_EPOCH, draw_factors, step_by_step, uniforms

TOLERANCE = 1e-5  # hue is the coarsest: torchvision divides by small differences
OFF = Augmentation(
    crop_probability=0, flip_probability=0, jitter_probability=0, grayscale_probability=0, blur_probability=0
)


@pytest.fixture(scope="module")
def pictures():
    """(12, 3, 32, 32) uint8 images of shapes."""
    return torch.from_numpy(shapes.generate("test", 12, 32).images.copy())


@pytest.fixture(scope="module")
def images(pictures):
    return pictures.float() / 255


def draw(augmentation, num=20_000, *, seed=1, epoch=0, view=0, height=32, width=32, ids=None):
    ids = torch.arange(num) if ids is None else ids
    return draw_factors(augmentation, ids, seed=seed, epoch=epoch, view=view, height=height, width=width)


def assert_near(found, expected, tolerance=TOLERANCE):
    assert found.shape == expected.shape
    assert (found - expected).abs().max().item() <= tolerance


# --- operations against torchvision -------------------------------------------------------------------------------


def test_what_is_compiled_says_again_what_other_files_say():
    weights = torch.tensor([kernels.RED, kernels.GREEN, kernels.BLUE])
    assert torch.equal(weights, torch.tensor(color.GRAY_WEIGHTS))
    places = (kernels.CONTRAST, kernels.SATURATION, kernels.HUE)
    assert tuple(JITTER_PARTS[place] for place in places) == ("contrast", "saturation", "hue")


@pytest.fixture(params=["compiled", "in bulk"])
def way(request, monkeypatch):
    """That of a CPU, and that of a GPU, also on a CPU."""
    monkeypatch.setattr(numerics, "in_bulk", lambda device: request.param == "in bulk")


@pytest.mark.parametrize(("side", "size"), [(32, 32), (96, 32), (32, 128), (33, 20), (96, 64), (200, 72), (300, 32)])
@pytest.mark.usefixtures("way")
def test_resized_crop(side, size):
    images = torch.from_numpy(shapes.generate("test", 12, side).images.copy()).float() / 255
    boxes = draw(Augmentation(), len(images), height=side, width=side).box
    boxes[0] = torch.tensor([0, 0, side, side])
    boxes[1] = torch.tensor([side - 1, side - 1, 1, 1])
    flip = torch.arange(len(images)) % 2 == 1
    found = resampling.resized_crop(images, boxes, size, flip)
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        expected = reference.resized_crop(
            images[i], top, left, height, width, [size, size], InterpolationMode.BILINEAR, antialias=True
        )
        assert_near(found[i], expected.flip(2) if flip[i] else expected)


@pytest.mark.usefixtures("way")
def test_resized_crop_of_images_that_are_not_square(images):
    wide = torch.cat([images, images.flip(2)], dim=3)  # (12, 3, 32, 64)
    boxes = draw(Augmentation(), len(wide), height=32, width=64).box
    found = resampling.resized_crop(wide, boxes, 24)
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        expected = reference.resized_crop(wide[i], top, left, height, width, [24, 24], antialias=True)
        assert_near(found[i], expected)


@pytest.mark.usefixtures("way")
def test_resize(images):
    assert resampling.resize(images, 32) is images
    assert_near(resampling.resize(images, 20), reference.resize(images, [20, 20], antialias=True))


def test_horizontal_flip(images):
    flip = torch.arange(len(images)) % 3 == 0
    found = resampling.horizontal_flip(images, flip)
    for i in range(len(images)):
        assert torch.equal(found[i], reference.horizontal_flip(images[i]) if flip[i] else images[i])


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.usefixtures("way")
def test_brightness_contrast_and_saturation(images, name):
    factors = torch.linspace(0, 2, len(images))
    found = color.ADJUST[name](images, factors)
    for i, factor in enumerate(factors.tolist()):
        assert_near(found[i], getattr(reference, f"adjust_{name}")(images[i], factor))


def test_hue(images):
    images = torch.cat([images, torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))])
    images[0], images[1], images[2, 1:] = 0.0, 1.0, 0.0  # black, white, pure reds
    turns = torch.linspace(-0.5, 0.5, len(images))
    found = color.adjust_hue(images, turns)
    for i, turn in enumerate(turns.tolist()):
        assert_near(found[i], reference.adjust_hue(images[i], turn))
    torch.testing.assert_close(color.adjust_hue(images, torch.zeros(len(images))), images, atol=1e-5, rtol=0)


def test_grayscale(images):
    assert_near(color.grayscale(images), reference.rgb_to_grayscale(images, num_output_channels=3), 1e-6)


@pytest.mark.parametrize("kernel_size", [1, 3, 9, 31])
@pytest.mark.parametrize("side", [32, 72])
@pytest.mark.usefixtures("way")
def test_gaussian_blur(side, kernel_size):
    images = torch.from_numpy(shapes.generate("test", 12, side).images.copy()).float() / 255
    sigmas = torch.linspace(0.1, 3.0, len(images))
    found = blur.gaussian_blur(images, sigmas, kernel_size)
    for i, sigma in enumerate(sigmas.tolist()):
        assert_near(found[i], reference.gaussian_blur(images[i], [kernel_size, kernel_size], [sigma, sigma]))


def test_color_jitter_applies_each_images_own_order(images):
    factors = draw(Augmentation(jitter_probability=1, hue=0.3), len(images))
    found = color.color_jitter(images, factors)
    for i in range(len(images)):
        expected = images[i]
        for part in factors.order[i].tolist():
            name = JITTER_PARTS[part]
            expected = getattr(reference, f"adjust_{name}")(expected, float(getattr(factors, name)[i]))
        assert_near(found[i], expected)


@pytest.mark.usefixtures("way")
def test_a_whole_view_equals_torchvisions_operations_in_a_row(pictures):
    augmentation = Augmentation(
        hue=0.4, grayscale_probability=0.5, blur_probability=0.5, blur_kernel_size=5, crop_scale_min=0.2
    )
    ids = torch.arange(len(pictures))
    found = augment.random_view(pictures, ids, augmentation, seed=3, epoch=7, view=1, size=24)
    drawn = draw(augmentation, len(pictures), seed=3, epoch=7, view=1)
    for i in range(len(pictures)):
        x = reference.resized_crop(pictures[i].float() / 255, *drawn.box[i].tolist(), [24, 24], antialias=True)
        x = reference.horizontal_flip(x) if drawn.flip[i] else x
        for part in drawn.order[i].tolist() if drawn.jitter[i] else ():
            name = JITTER_PARTS[part]
            x = getattr(reference, f"adjust_{name}")(x, float(getattr(drawn, name)[i]))
        x = reference.rgb_to_grayscale(x, 3) if drawn.grayscale[i] else x
        x = reference.gaussian_blur(x, [5, 5], [float(drawn.sigma[i])] * 2) if drawn.blur[i] else x
        assert_near(found[i], x)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("crop", 2), ("brightness", 1), ("contrast", 2), ("saturation", 2), ("hue", 12), ("grayscale", 1), ("blur", 1)],
)
def test_operations_on_8_bit_pil_images_differ_by_their_rounding(pictures, images, name, tolerance):
    """PIL rounds to bytes after each operation, and turns hue in steps of 1/256 of the circle."""
    on_pil = {
        "crop": lambda x, _: reference.resized_crop(x, 3, 5, 20, 17, [32, 32], InterpolationMode.BILINEAR),
        "grayscale": lambda x, _: reference.rgb_to_grayscale(x, 3),
        "blur": lambda x, sigma: reference.gaussian_blur(x, [3, 3], [sigma, sigma]),
    }
    on_planes = {
        "crop": lambda x, _: resampling.resized_crop(x, torch.tensor([[3, 5, 20, 17]]).expand(12, 4), 32),
        "grayscale": lambda x, _: color.grayscale(x),
        "blur": lambda x, sigma: blur.gaussian_blur(x, sigma, 3),
    }
    strengths = torch.linspace(-0.5, 0.5, 12) if name == "hue" else torch.linspace(0.3, 1.7, 12)
    found = on_planes.get(name, color.ADJUST.get(name))(images, strengths)
    for i, strength in enumerate(strengths.tolist()):
        operation = on_pil.get(name) or getattr(reference, f"adjust_{name}")
        expected = reference.pil_to_tensor(operation(reference.to_pil_image(pictures[i]), strength)) / 255
        assert_near(found[i], expected, (tolerance + 1e-3) / 255)


# --- what is drawn ------------------------------------------------------------------------------------------------


def assert_uniform(values, low, high, num_bins=10, rounding=1e-6):
    """Chi-square of a histogram: above 40 happens once in 100,000 with nine degrees of freedom."""
    assert low - rounding <= values.min() <= values.max() <= high + rounding
    counts = torch.histc(values.clamp(low, high).float(), num_bins, low, high)
    expected = len(values) / num_bins
    assert ((counts - expected) ** 2 / expected).sum().item() < 40


def test_uniforms_are_uniform_and_uncorrelated():
    u = uniforms(0, 0, torch.arange(20_000), 0, 16)
    assert u.shape == (20_000, 16)
    assert u.dtype == torch.float32
    for column in u.unbind(1):
        assert_uniform(column, 0, 1)
    keys = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    others = [uniforms(seed, epoch, torch.arange(20_000), view, 4) for seed, epoch, view in keys]
    neighbours = u.roll(1, 0)[:, :4]  # of the image before
    correlation = torch.corrcoef(torch.cat([u, neighbours, *others], dim=1).T)
    off_diagonal = correlation - torch.diag(correlation.diagonal())
    assert off_diagonal.abs().max().item() < 5 / math.sqrt(20_000)


def test_strengths_are_uniform_over_their_ranges():
    a = Augmentation(brightness=0.6, contrast=0.3, saturation=0.9, hue=0.2, blur_sigma_min=0.5, blur_sigma_max=1.5)
    drawn = draw(a)
    assert_uniform(drawn.brightness, 0.4, 1.6)
    assert_uniform(drawn.contrast, 0.7, 1.3)
    assert_uniform(drawn.saturation, 0.1, 1.9)
    assert_uniform(drawn.hue, -0.2, 0.2)
    assert_uniform(drawn.sigma, 0.5, 1.5)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_operations_happen_with_their_probability(probability):
    a = Augmentation(
        crop_probability=probability,
        flip_probability=probability,
        jitter_probability=probability,
        grayscale_probability=probability,
        blur_probability=probability,
        crop_scale_max=0.9,
    )
    drawn = draw(a)
    cropped = (drawn.box[:, 2:] < 32).any(dim=1)
    slack = 5 * math.sqrt(probability * (1 - probability) / 20_000)
    masks = (cropped, drawn.flip, drawn.jitter, drawn.grayscale, drawn.blur)
    for mask in masks:
        assert abs(mask.float().mean().item() - probability) <= slack
    if 0 < probability < 1:  # operations are independent of each other
        correlation = torch.corrcoef(torch.stack(masks).float())
        assert (correlation - torch.eye(5)).abs().max().item() < 5 / math.sqrt(20_000)


def test_all_orders_of_the_jitter_parts_are_equally_likely():
    orders, counts = draw(Augmentation()).order.unique(dim=0, return_counts=True)
    assert {tuple(order) for order in orders.tolist()} == set(permutations(range(4)))
    expected = 20_000 / 24
    assert ((counts - expected) ** 2 / expected).sum().item() < 70  # 23 degrees of freedom


def test_crops_follow_torchvisions_rule():
    """Large images, where rounding to pixels does not show: area uniform, log of the ratio uniform."""
    box = draw(Augmentation(crop_scale_min=0.1, crop_scale_max=0.4), height=4000, width=4000).box.double()
    top, left, height, width = box.unbind(1)
    assert_uniform(height * width / 4000**2, 0.1, 0.4, rounding=1e-3)  # whole pixels
    assert_uniform(torch.log(width / height), math.log(0.75), math.log(4 / 3), rounding=1e-3)
    assert_uniform(top / (4000 - height), 0, 1)
    assert_uniform(left / (4000 - width), 0, 1)


def test_crops_have_torchvisions_distribution_at_32_pixels():
    from torchvision.transforms.v2 import RandomResizedCrop

    torch.manual_seed(0)
    transform = RandomResizedCrop(32, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
    image = torch.zeros(3, 32, 32)
    theirs = [transform.make_params([image]) for _ in range(3000)]
    ours = draw(Augmentation()).box.float()
    for column, key in enumerate(("top", "left", "height", "width")):
        values = torch.tensor([float(params[key]) for params in theirs])
        error = 5 * values.std().item() * math.sqrt(1 / 3000 + 1 / 20_000)
        assert abs(values.mean().item() - ours[:, column].mean().item()) < error
        assert values.std().item() == pytest.approx(ours[:, column].std().item(), rel=0.06)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"crop_scale_min": 0.001, "crop_scale_max": 0.002},
        {"crop_scale_min": 1.0},
        {"crop_ratio_min": 10, "crop_ratio_max": 10, "crop_scale_min": 0.9},
        {"crop_ratio_min": 0.1, "crop_ratio_max": 0.1, "crop_scale_min": 0.9},
        {"crop_ratio_min": 0.1, "crop_ratio_max": 10},
    ],
)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8), (20, 200), (200, 20), (1, 5)])
def test_crops_lie_inside_the_image(options, height, width):
    top, left, h, w = draw(Augmentation(**options), 3000, height=height, width=width).box.unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (h >= 1).all()
    assert (w >= 1).all()
    assert (top + h <= height).all()
    assert (left + w <= width).all()


def test_where_no_crop_fits_the_largest_centred_one_of_that_ratio_is_taken():
    a = Augmentation(crop_ratio_min=0.5, crop_ratio_max=0.5, crop_scale_min=1, crop_scale_max=1)
    assert draw(a, 5, height=20, width=20).box.tolist() == [[0, 5, 20, 10]] * 5


# --- views --------------------------------------------------------------------------------------------------------


def test_with_everything_off_a_view_is_the_image(pictures, images):
    view = augment.random_view(pictures, torch.arange(12), OFF, seed=0, epoch=0, view=0, size=32)
    assert_near(view, images, 6e-8)  # times 1/255, or divided by 255: the last bit
    assert torch.equal(augment.random_view(images, torch.arange(12), OFF, seed=0, epoch=0, view=0, size=32), images)
    no_strength = OFF.model_copy(
        update={
            "jitter_probability": 1.0,
            "brightness": 0.0,
            "contrast": 0.0,
            "saturation": 0.0,
            "hue": 0.0,
        }
    )
    view = augment.random_view(pictures, torch.arange(12), no_strength, seed=0, epoch=0, view=0, size=32)
    assert_near(view, images, 1e-5)


@pytest.mark.parametrize(
    ("option", "operation"),
    [
        ("flip_probability", lambda x: x.flip(3)),
        ("grayscale_probability", color.grayscale),
        ("blur_probability", lambda x: blur.gaussian_blur(x, torch.full((12,), 0.7), 3)),
    ],
)
def test_with_probability_one_an_operation_always_happens(pictures, images, option, operation):
    augmentation = OFF.model_copy(update={option: 1.0, "blur_sigma_min": 0.7, "blur_sigma_max": 0.7})
    view = augment.random_view(pictures, torch.arange(12), augmentation, seed=0, epoch=0, view=0, size=32)
    torch.testing.assert_close(view, operation(images), atol=1e-6, rtol=0)


FULL = Augmentation(blur_probability=0.5, hue=0.5, jitter_probability=0.9)


def view_of(pictures, ids, seed=1, epoch=2, view=0):
    return augment.random_view(pictures, ids, FULL, seed=seed, epoch=epoch, view=view, size=32)


@pytest.fixture
def num_threads():
    """Sets the number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("side", "size", "num"),
    [(32, 32, 300), (64, 64, 40), (96, 96, 16), (224, 224, 4), (96, 64, 16), (224, 100, 8), (32, 33, 40), (9, 70, 30)],
)
def test_a_view_is_the_same_to_the_bit_whatever_the_batch(side, size, num, num_threads):
    pictures = torch.from_numpy(shapes.generate("test", num, side).images.copy())
    ids = torch.arange(num) * 7 + 3

    def views(rows):
        pair = augment.two_views(pictures[rows], ids[rows], FULL, seed=1, epoch=2, size=size)
        return torch.stack(pair, dim=1)  # (n, 2, 3, size, size)

    num_threads(1)
    whole = views(torch.arange(num))
    order = torch.randperm(num, generator=torch.Generator().manual_seed(0))
    for threads in (1, 2, 5):
        num_threads(threads)
        for rows in (order, order[:1], order[: num // 2]):
            assert torch.equal(views(rows), whole[rows])
        alone = augment.random_view(pictures, ids, FULL, seed=1, epoch=2, view=1, size=size)
        assert torch.equal(alone, whole[:, 1])


@pytest.mark.parametrize(("side", "size", "num"), [(32, 32, 40), (48, 32, 20), (96, 96, 8), (96, 64, 8), (9, 70, 8)])
def test_the_large_operations_of_a_gpu_draw_the_same_views(side, size, num, monkeypatch):
    pictures = torch.from_numpy(shapes.generate("test", num, side).images.copy())
    ids = torch.arange(num)

    def views():
        return torch.stack(augment.two_views(pictures, ids, FULL, seed=1, epoch=2, size=size))

    expected = views()
    monkeypatch.setattr(numerics, "in_bulk", lambda device: True)
    assert_near(views(), expected)
    monkeypatch.setattr(augment, "DEVICE_CHUNK_NUMBERS", 60 * max(side, size) ** 2)  # several chunks
    assert_near(views(), expected)


def test_beside_the_result_memory_is_bounded_by_the_chunk(monkeypatch):
    """On a GPU; on a CPU a view is drawn where it stays."""
    pictures = torch.zeros(128, 3, 32, 32, dtype=torch.uint8)
    monkeypatch.setattr(numerics, "in_bulk", lambda device: True)
    monkeypatch.setattr(augment, "DEVICE_CHUNK_NUMBERS", 16 * 8 * 1024)
    sizes = {}

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                storage = result.untyped_storage()
                sizes[storage.data_ptr()] = max(storage.nbytes(), sizes.get(storage.data_ptr(), 0))
            return result

    with Record():
        first, second = augment.two_views(pictures, torch.arange(128), FULL, seed=1, epoch=2, size=32)
    result = first.untyped_storage()
    assert second.untyped_storage().data_ptr() == result.data_ptr()
    del sizes[result.data_ptr()]
    assert max(sizes.values()) <= 16 * 8 * 1024 * 4 < result.nbytes() / 5  # 16 planes of floats


def test_what_is_drawn_does_not_depend_on_the_batch():
    ids = torch.arange(2000) * 7 + 3
    rows = torch.randperm(2000, generator=torch.Generator().manual_seed(0))[:301]
    drawn, expected = draw(FULL, ids=ids[rows]), draw(FULL, ids=ids)[rows]
    assert drawn.policy is None
    for name, values in vars(expected).items():
        assert values is None or torch.equal(getattr(drawn, name), values)


@pytest.mark.parametrize("change", [{"seed": 2}, {"epoch": 3}, {"view": 1}, {"epoch": VALIDATION_EPOCH}])
def test_a_view_changes_with_seed_epoch_and_view(pictures, change):
    ids = torch.arange(12)
    before, after = view_of(pictures, ids), view_of(pictures, ids, **change)
    assert ((before - after).abs().mean(dim=(1, 2, 3)) > 1e-3).float().mean() > 0.9


def test_the_two_views_are_independent(pictures):
    first, second = augment.two_views(pictures, torch.arange(12), FULL, seed=1, epoch=2, size=32)
    torch.testing.assert_close(first, view_of(pictures, torch.arange(12), view=0))
    torch.testing.assert_close(second, view_of(pictures, torch.arange(12), view=1))
    one, other = draw(FULL, view=0), draw(FULL, view=1)
    for name in ("flip", "jitter", "grayscale", "blur", "brightness", "hue", "sigma"):
        pair = torch.stack([getattr(one, name).float(), getattr(other, name).float()])
        assert abs(torch.corrcoef(pair)[0, 1].item()) < 5 / math.sqrt(20_000)
    assert (one.box == other.box).all(dim=1).float().mean() < 0.02


def test_views_stay_in_range_and_float32(pictures):
    view = augment.random_view(pictures, torch.arange(12), FULL, seed=0, epoch=0, view=0, size=20)
    assert view.dtype == torch.float32
    assert view.shape == (12, 3, 20, 20)
    assert view.min() >= -1e-5
    assert view.max() <= 1 + 1e-5
    assert torch.isfinite(view).all()


def test_float_images_and_bytes_give_the_same_view(pictures, images):
    before = images.clone()
    torch.testing.assert_close(view_of(images, torch.arange(12)), view_of(pictures, torch.arange(12)))
    assert torch.equal(images, before)  # what is handed in is not written to


def test_normalize_maps_to_minus_two_to_two():
    assert augment.normalize(torch.tensor([0.0, 0.5, 1.0])).tolist() == [-2.0, 0.0, 2.0]
    assert F.mse_loss(augment.to_float(torch.tensor([255], dtype=torch.uint8)), torch.ones(1)) == 0


def test_a_batch_on_another_device_draws_its_factors_on_the_cpu():
    """`meta` stands in for a GPU: mixing devices is an error there as well."""
    from simclr.data.loading import load_data
    from simclr.training.datamodule import PretrainData

    data = load_data("shapes", image_size=16, limit_images=32, val_fraction=0.25)
    module = PretrainData(data, FULL, batch_size=8, seed=0, size=16, num_workers=0)
    batch = module.transfer_batch_to_device(torch.arange(8), torch.device("meta"), 0)
    assert batch.first.shape == batch.second.shape == (8, 3, 16, 16)
    assert batch.first.is_meta


def test_a_view_step_by_step_is_the_operations_one_after_the_other() -> None:
    everything = Augmentation(
        flip_probability=0.5, jitter_probability=0.7, grayscale_probability=0.3, blur_probability=0.5, hue=0.5
    )
    images = torch.rand(40, 3, 24, 20)
    ids = torch.arange(40)
    factors = draw_factors(everything, ids, seed=1, epoch=2, view=1, height=24, width=20)
    views = augment.apply_factors(images, factors, 16, 3)
    for number in range(40):
        one = factors[slice(number, number + 1)]
        names, stages = step_by_step(one)
        found = augment.apply_factors(images[[number]].expand(len(names), -1, -1, -1).contiguous(), stages, 16, 3)
        assert torch.equal(found[-1], views[number])
        assert names[2:6] == [JITTER_PARTS[part] for part in one.order[0]]
        image = images[[number]]
        for name, picture in zip(names, found, strict=True):
            if name == "crop":
                image = resampling.resized_crop(image, one.box, 16)
            elif name == "flip":
                image = resampling.horizontal_flip(image, one.flip)
            elif name in color.ADJUST and one.jitter:
                image = color.ADJUST[name](image, getattr(one, name))
            elif name == "grayscale" and one.grayscale:
                image = color.grayscale(image)
            elif name == "blur" and one.blur:
                image = blur.gaussian_blur(image, one.sigma, 3)
            torch.testing.assert_close(picture[None], image, atol=2e-5, rtol=0)
