"""The text encoder: what it can tell apart, and its file, whatever is in it."""

import os

import pytest
import torch

from simclr.config import ConfigError
from simclr.training.checkpoints import save_atomically
from simclr.words import text_encoder
from simclr.words.captions import NO_WORD, Vocabulary
from simclr.words.text_encoder import TextEncoder

SENTENCES = ["a red star on blue", "a blue star on red", "a star", "a small green heart"]


def encoder(kind="transformer", seed=0, **options):
    torch.manual_seed(seed)
    return TextEncoder(kind, Vocabulary.of_captions(), 8, **options).eval()


def test_the_mean_of_words_knows_no_order_and_a_transformer_does():
    mean, other = encoder("mean").embed(SENTENCES), encoder().embed(SENTENCES)
    assert torch.allclose(mean[0], mean[1], atol=1e-6)
    assert (other[0] - other[1]).norm() > 1e-3
    assert (mean[0] - mean[2]).norm() > 1e-3


@pytest.mark.parametrize("kind", text_encoder.KINDS)
def test_what_fills_a_sentence_up_does_not_count_nor_what_stands_beside_it(kind):
    found = encoder(kind)
    before = found.embed(SENTENCES)
    assert torch.allclose(found.embed(SENTENCES[2:3]), before[2:3], atol=1e-6)
    with torch.no_grad():
        found.words.weight[NO_WORD] = 100.0
    assert torch.allclose(found.embed(SENTENCES), before, atol=1e-6)


def test_the_mean_is_that_of_the_word_vectors():
    found = encoder("mean")
    numbers = found.vocabulary.numbers("a red star")
    slow = sum(found.words.weight[number] for number in numbers[:3]) / 3
    slow = found.out.weight @ slow + found.out.bias
    assert torch.allclose(found.embed(["a red star"])[0], slow / slow.norm(), atol=1e-6)


def test_rows_have_length_1_and_the_scale_begins_at_one_over_the_temperature():
    found = encoder(temperature=0.2)
    assert torch.allclose(found.embed(SENTENCES).norm(dim=1), torch.ones(4))
    assert found.scale.item() == pytest.approx(5.0)


@pytest.mark.parametrize("kind", text_encoder.KINDS)
def test_its_file_gives_it_back(tmp_path, kind):
    written = encoder(kind, seed=3)
    save_atomically(written.content(), tmp_path / "text_encoder.pt")
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    found = text_encoder.load(tmp_path / "text_encoder.pt")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (found.kind, found.vocabulary) == (kind, written.vocabulary)
    assert torch.equal(found.embed(SENTENCES), written.embed(SENTENCES))


class Code:
    def __reduce__(self):
        return os.system, ("touch /tmp/words-was-run",)


def without(name):
    return lambda content: {key: value for key, value in content.items() if key != name}


@pytest.mark.parametrize(
    "damage",
    [
        without("words"),
        without("state"),
        lambda content: content | {"kind": "lstm"},
        lambda content: content | {"words": content["words"][:-1]},  # not as many as the weights have
        lambda content: content | {"words": [*content["words"][:-1], content["words"][0]]},
        lambda content: content | {"words": [1, 2]},
        lambda content: content | {"max_words": 10**9},
        lambda content: content | {"max_words": True},
        lambda content: content | {"projection_dim": 9},
        lambda content: content | {"state": {"words.weight": "no tensor"}},
        lambda content: content | {"more": Code()},
        lambda content: [content],
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path, damage):
    path = tmp_path / "text_encoder.pt"
    torch.save(damage(encoder().content()), path)
    with pytest.raises(ConfigError, match=r"text_encoder\.pt is not a text encoder; allowed: the file that training"):
        text_encoder.load(path)
    assert not os.path.exists("/tmp/words-was-run")


def test_so_are_values_that_are_no_numbers(tmp_path):
    found = encoder()
    with torch.no_grad():
        found.out.bias[2] = torch.nan
    save_atomically(found.content(), tmp_path / "text_encoder.pt")
    with pytest.raises(ConfigError, match="holds values that are no numbers"):
        text_encoder.load(tmp_path / "text_encoder.pt")


def test_a_torn_missing_or_outlying_file_costs_a_sentence(tmp_path):
    folder = tmp_path / "run"
    path = folder / "text_encoder.pt"
    save_atomically(encoder().content(), path)
    whole = path.read_bytes()
    (tmp_path / "elsewhere.pt").write_bytes(whole)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="is not a text encoder"):
        text_encoder.load(path)
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        text_encoder.load(path)
    path.symlink_to(tmp_path / "elsewhere.pt")
    with pytest.raises(ConfigError, match="cannot be read: it is a link that leaves its folder"):
        text_encoder.load(path)
