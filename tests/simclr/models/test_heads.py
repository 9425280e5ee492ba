"""Projection head and classifiers: shapes, key names, non-linearity."""

import pytest
import torch
from torch import nn

from simclr.models import heads


def test_the_projection_head_is_linear_relu_linear():
    torch.manual_seed(0)
    head = heads.projection_head(12, 7, 5)
    assert [type(module) for module in head] == [nn.Linear, nn.ReLU, nn.Linear]
    assert {key: tuple(value.shape) for key, value in head.state_dict().items()} == {
        "0.weight": (7, 12),
        "0.bias": (7,),
        "2.weight": (5, 7),
        "2.bias": (5,),
    }
    h = torch.randn(4, 12)
    state = head.state_dict()
    expected = (h @ state["0.weight"].T + state["0.bias"]).clamp(min=0) @ state["2.weight"].T + state["2.bias"]
    torch.testing.assert_close(head(h), expected)


@pytest.mark.parametrize(
    ("kind", "keys"), [("linear", {"weight", "bias"}), ("mlp", {"0.weight", "0.bias", "2.weight", "2.bias"})]
)
def test_classifiers_give_one_logit_for_each_class(kind, keys):
    head = heads.classifier(9, 4, kind, 6)
    assert set(head.state_dict()) == keys
    assert head(torch.randn(3, 9)).shape == (3, 4)
