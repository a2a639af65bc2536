"""The network as a graph that compilers read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from openseg_ros.model.openseg import OpenSegInference


def export_network(
    network: OpenSegInference, input_size: tuple[int, int], stride: int, max_batch: int = 1
) -> torch.export.ExportedProgram:
    """Export `network` with torch.export: a fixed image size, and any batch from 1 to `max_batch`."""
    batch = min(max_batch, 2)  # an example of 1 would be taken for a constant
    grid = input_size[0] // stride, input_size[1] // stride
    device = network.network.queries.device
    example = (
        torch.zeros(batch, *input_size, 3, dtype=torch.uint8, device=device),
        torch.ones(batch, *grid, device=device),
    )
    shapes = None
    if max_batch > 1:
        images = torch.export.Dim("batch", min=1, max=max_batch)
        shapes = ({0: images}, {0: images})
    quiet = logging.getLogger("torch.export")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with torch.no_grad():
            return torch.export.export(network, example, dynamic_shapes=shapes)
    finally:
        quiet.setLevel(level)
