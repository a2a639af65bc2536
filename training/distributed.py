"""What the processes of one run exchange beyond the gradients that DistributedDataParallel averages."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import gather, pad_across_processes, reduce
from torch import Tensor, nn

# torch's SyncBatchNorm has kernels for these only; elsewhere (CPU, TPU) statistics stay those of one process.
SYNC_BATCH_NORM_DEVICES = ("cuda", "xpu")


class Gather:
    """Concatenates what the processes hold, each of which has an equal number of rows.

    Gradients: with P processes, DistributedDataParallel divides the sum of all gradients by P. A loss over the whole
    batch that each process computes from gathered tensors therefore gets the gradient of one process with the whole
    batch: `rows` adds up what all P copies of the loss say about a row, P times the true gradient.
    """

    def __init__(self, *, rank: int, processes: int) -> None:
        """This is process `rank` of `processes`."""
        self.rank = rank
        self.processes = processes

    def rows(self, tensor: Tensor) -> Tensor:
        """(B, ...) of this process to (P * B, ...) of all, in order of rank; with gradients."""
        gathered: Tensor = _GatherRows.apply(tensor, self.rank)
        return gathered

    def padded_rows(self, tensor: Tensor) -> Tensor:
        """(B, K, ...) to (P * B, max K, ...), zeros behind the shorter ones; without gradients."""
        # A padded bool becomes int64 in accelerate 1.15, and the processes would send tensors of different types.
        sent = tensor.detach().to(torch.uint8 if tensor.dtype == torch.bool else tensor.dtype)
        gathered: Tensor = gather(pad_across_processes(sent, dim=1))
        return gathered.to(tensor.dtype)

    def total(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes, without gradients."""
        summed: Tensor = reduce(value.detach(), "sum")
        return summed


class _GatherRows(torch.autograd.Function):
    """Forward: gather. Backward: the sum over all processes of the gradient of this process's rows."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, rank: int) -> Tensor:
        ctx.first, ctx.count = rank * tensor.shape[0], tensor.shape[0]
        gathered: Tensor = gather(tensor)
        return gathered

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        summed: Tensor = reduce(gradients[0].contiguous(), "sum")
        return summed[ctx.first : ctx.first + ctx.count], None


def shared_mean(total: Tensor, count: Tensor, gather: Gather | None) -> Tensor:
    """Mean over the samples of all processes, written so that the average over the processes is that mean.

    Args:
        total: scalar, sum over this process's samples.
        count: scalar, number of this process's samples.
        gather: None for one process.

    Returns:
        A scalar; 0 (with gradient) where no process has a sample.
    """
    if gather is None:
        return total / count.clamp(min=1)
    return total * gather.processes / gather.total(count).clamp(min=1)


def synchronise_batch_norm(network: nn.Module, device: torch.device, processes: int) -> bool:
    """Make BatchNorm count over the batches of all processes, as the paper's framework does; where the device can.

    Returns:
        Whether it was done. Never for one process: there is nothing to synchronise.
    """
    if processes == 1 or device.type not in SYNC_BATCH_NORM_DEVICES:
        return False
    nn.SyncBatchNorm.convert_sync_batchnorm(network)  # replaces the children, parameters and names stay
    return True
