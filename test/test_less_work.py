"""Linear steps in another order: less work, and the same answers up to rounding, at the borders too."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openseg_ros.model.config import ModelConfig
from openseg_ros.model.folded_pyramid import FoldedPyramid
from openseg_ros.model.fpn import FeaturePyramid
from openseg_ros.model.openseg import PIXEL_CENTRE, OpenSeg, OpenSegInference
from openseg_ros.model.pooling import pool_convolved, pool_regions, pooling_first_is_cheaper

PAPER_CHANNELS = (48, 80, 224, 640)  # EfficientNet-B7 at strides 4 to 32
EXACT = {"rtol": 1e-9, "atol": 1e-9}  # of float64, where rounding leaves about 1e-13


def with_odd_statistics(module: nn.Module) -> nn.Module:
    """In evaluation mode, with BatchNorm statistics and biases that are not the initial zeros and ones."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.running_mean, part.running_var, part.weight.data, part.bias.data):
                tensor.uniform_(0.5, 1.5)
    return module.eval()


@pytest.mark.parametrize("size", [(8, 8), (16, 24)])
def test_folded_pyramid_equals_the_pyramid(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    pyramid = with_odd_statistics(FeaturePyramid(in_channels=PAPER_CHANNELS, dim=640)).double()
    folded = FoldedPyramid(pyramid)
    assert sorted(folded.folded) == [0, 1]
    features = [
        torch.randn(2, channels, size[0] >> level, size[1] >> level, dtype=torch.float64)
        for level, channels in enumerate(PAPER_CHANNELS)
    ]
    with torch.no_grad():
        torch.testing.assert_close(folded(features), pyramid(features), **EXACT)


def test_pyramid_with_wide_laterals_is_left_as_it_is() -> None:
    torch.manual_seed(0)
    pyramid = with_odd_statistics(FeaturePyramid(in_channels=(96, 192, 384), dim=96)).double()
    folded = FoldedPyramid(pyramid)
    assert not folded.folded
    features = [torch.randn(1, 96 << level, 8 >> level, 8 >> level, dtype=torch.float64) for level in range(3)]
    with torch.no_grad():
        assert torch.equal(folded(features), pyramid(features))


def test_pooling_before_the_convolution_equals_pooling_behind_it() -> None:
    """With masks and values that reach the border, where a shifted mask leaves the map."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(6, 5, 3, padding=1).double()
    logits, features = 3 * torch.randn(2, 4, 5, 7, dtype=torch.float64), torch.randn(2, 6, 5, 7, dtype=torch.float64)
    valid = torch.ones(2, 5, 7, dtype=torch.float64)
    valid[1, -2:] = 0
    with torch.no_grad():
        expected = pool_regions(logits, convolution(features), valid)
        torch.testing.assert_close(pool_convolved(logits, features, convolution, valid), expected, **EXACT)


def test_pooling_first_is_chosen_where_it_costs_less() -> None:
    assert pooling_first_is_cheaper(num_queries=128, dim=640, cells=160 * 160)  # the paper's size
    assert not pooling_first_is_cheaper(num_queries=120, dim=96, cells=64 * 80)  # the shipped model


def test_paper_sized_network_keeps_its_answers() -> None:
    """The whole network of the paper on a small image, engine form against training form."""
    torch.manual_seed(0)
    config = ModelConfig(input_size=(64, 96), mask_logit_bias=0.0)
    network = with_odd_statistics(OpenSeg(config))
    images = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    valid = torch.ones(1, *config.grid)
    valid[:, -4:] = 0
    pixels = (images.permute(0, 3, 1, 2).float() - PIXEL_CENTRE) / PIXEL_CENTRE
    with torch.no_grad():
        expected = network(pixels, valid)
        logits, embeddings = OpenSegInference(network)(images, valid)
    scale = expected["mask_logits"].abs().max()
    assert scale > 0.1
    assert (logits - expected["mask_logits"]).abs().max() < 1e-4 * scale
    assert (embeddings * F.normalize(expected["embeddings"], dim=-1)).sum(-1).min() > 0.99999
