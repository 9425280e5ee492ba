"""The encoder of sentences, and the file that keeps it with its words.

RUN/text_encoder.pt   {"kind", "words", "max_words", "projection_dim", "state"}, written by torch.save
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.words.captions import NO_WORD, Vocabulary

KINDS = ("mean", "transformer")
WIDTH, NUM_LAYERS, NUM_HEADS = 64, 2, 4
MAX_FILE_BYTES = 64 * 2**20


class TextEncoder(nn.Module):
    """Sentences to embeddings in the space of an image encoder's projections z.

    `mean` is a linear map of the mean of the word vectors, which knows no order: "a red star on blue" and "a blue star
    on red" are the same to it. `transformer` is a small one (Vaswani et al. 2017, layers normalized first) whose
    outputs are averaged over the words.

    Args:
        kind: of `KINDS`.
        vocabulary: the words that it knows.
        projection_dim: width of the output.
        temperature: that the learned scale begins with.

    Attributes:
        log_scale: scalar; its exponential multiplies cosine similarities in the loss, as one over the temperature.
    """

    def __init__(self, kind: str, vocabulary: Vocabulary, projection_dim: int, temperature: float = 0.07) -> None:
        super().__init__()
        self.kind, self.vocabulary, self.projection_dim = kind, vocabulary, projection_dim
        self.log_scale = nn.Parameter(torch.tensor(math.log(1.0 / temperature)))
        self.words = nn.Embedding(len(vocabulary.words) + 1, WIDTH, padding_idx=NO_WORD)
        self.layers: nn.Module | None = None
        if kind == "transformer":
            self.places = nn.Parameter(0.1 * torch.randn(vocabulary.max_words, WIDTH))
            layer = nn.TransformerEncoderLayer(
                WIDTH, NUM_HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.layers = nn.TransformerEncoder(layer, NUM_LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, projection_dim)

    def forward(self, numbers: Tensor) -> Tensor:
        """(N, max_words) sentences as `Vocabulary.numbers` gives them, to (N, projection_dim)."""
        is_word = numbers != NO_WORD
        x = self.words(numbers)  # (N, max_words, WIDTH)
        if self.layers is not None:
            x = self.layers(x + self.places, src_key_padding_mask=~is_word)
        shares = is_word / is_word.sum(dim=1, keepdim=True)
        return self.out((x * shares[:, :, None].to(x.dtype)).sum(dim=1))  # type: ignore[no-any-return]

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    @torch.inference_mode()
    def embed(self, sentences: list[str]) -> Tensor:
        """(N, projection_dim) float32, rows of length 1.

        Raises:
            ConfigError: for a sentence with words that it does not know; see `Vocabulary.numbers`.
        """
        numbers = torch.from_numpy(self.vocabulary.all_numbers(sentences)).to(self.log_scale.device)
        return nn.functional.normalize(self.eval()(numbers).float(), dim=1)

    def content(self) -> dict[str, Any]:
        """What its file holds: plain values and tensors."""
        return {
            "kind": self.kind,
            "words": list(self.vocabulary.words),
            "max_words": self.vocabulary.max_words,
            "projection_dim": self.projection_dim,
            "state": self.state_dict(),
        }


def load(path: Path) -> TextEncoder:
    """The text encoder of a file, on the CPU; no code in it is run.

    Raises:
        ConfigError: if it is missing, too large, damaged, or holds something else.
    """
    try:
        with safe_read.open_file(path, MAX_FILE_BYTES) as stream:
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception:  # whatever a damaged file makes of the unpickler
        raise _not_one(path) from None
    if not isinstance(content, Mapping) or not _is_sound(content):
        raise _not_one(path)
    vocabulary = Vocabulary(tuple(content["words"]), content["max_words"])
    with torch.random.fork_rng(devices=[]):
        found = TextEncoder(content["kind"], vocabulary, content["projection_dim"])
    try:
        found.load_state_dict(content["state"])
    except (RuntimeError, TypeError, AttributeError):
        raise _not_one(path) from None
    if not all(torch.isfinite(value).all() for value in found.state_dict().values()):
        raise ConfigError(f"{path} holds values that are no numbers; allowed: a text encoder as training writes it.")
    return found.eval()


def _is_sound(content: Mapping[str, Any]) -> bool:
    words, state = content.get("words"), content.get("state")
    numbers = [content.get(name) for name in ("max_words", "projection_dim")]
    return (
        content.get("kind") in KINDS
        and isinstance(words, list)
        and 0 < len(words) <= 10_000
        and all(isinstance(word, str) and word for word in words)
        and len(set(words)) == len(words)
        and all(type(number) is int and 0 < number <= 65_536 for number in numbers)
        and isinstance(state, Mapping)
        and all(isinstance(value, Tensor) for value in state.values())
    )


def _not_one(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not a text encoder; allowed: the file that training with captions writes.")
