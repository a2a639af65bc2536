"""Recomputed activations change memory and time, and nothing else."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from small_model import SMALL

from openseg_ros.model.head import FeatureHead
from openseg_ros.model.openseg import OpenSeg

TINY = replace(SMALL, input_size=(64, 64), region_norm=True)


def train_once(recompute: bool, autocast: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """State and gradients after two forward and backward passes in training mode."""
    torch.manual_seed(0)
    network = OpenSeg(TINY).train()
    for head in (network.mask_head, network.embedding_head):
        head.recompute = recompute
    for _ in range(2):
        images = torch.randn(2, 3, 64, 64)
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            output = network(images, torch.ones(2, 16, 16))
        (output["mask_logits"].float().square().mean() + output["embeddings"].float().square().mean()).backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return network.state_dict(), gradients


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_statistics_and_gradients_are_equal_bit_for_bit(autocast: bool) -> None:
    plain_state, plain_gradients = train_once(recompute=False, autocast=autocast)
    state, gradients = train_once(recompute=True, autocast=autocast)
    assert state["mask_head.1.num_batches_tracked"] == 2
    assert plain_state.keys() == state.keys() and plain_gradients.keys() == gradients.keys()
    assert all(torch.equal(plain_state[key], state[key]) for key in state)
    assert all(torch.equal(plain_gradients[key], gradients[key]) for key in gradients)


def test_inner_activations_are_not_kept() -> None:
    def kept_elements(recompute: bool) -> int:
        head = FeatureHead(dim=8, convs=3)
        head.recompute = recompute
        features = torch.randn(1, 8, 16, 16, requires_grad=True)
        sizes: list[int] = []

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            head(features)
        return sum(size for size in sizes if size == features.numel())

    size = 8 * 16 * 16
    assert kept_elements(False) >= 6 * size
    assert kept_elements(True) == size  # the input alone


def test_the_modules_own_statistics_are_back_after_the_backward_pass() -> None:
    head = FeatureHead(dim=8, convs=2)
    head.recompute = True
    before = head[1].running_mean
    head(torch.randn(1, 8, 4, 4, requires_grad=True)).sum().backward()
    assert head[1].running_mean is before
