"""Activation checkpointing: a module's inner activations are computed again in the backward pass instead of kept.

At the paper's size the two heads hold most of the memory of a training step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, forward: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """`forward(features)` of `module`, with its inner activations computed again when the gradient needs them.

    Values, gradients and BatchNorm's running statistics equal those of a plain call, bit for bit. `forward` must
    not be random: no random state is kept for the second pass.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_untouched(module)

    output: Tensor = checkpoint(forward, features, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return output


@contextmanager
def _statistics_untouched(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm update copies of its running statistics: the first pass has counted this batch already."""
    owners = [
        (part, name, buffer)
        for part in module.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm)  # also SyncBatchNorm
        for name, buffer in part.named_buffers(recurse=False)
    ]
    for part, name, buffer in owners:
        setattr(part, name, buffer.clone())
    try:
        yield
    finally:
        for part, name, buffer in owners:
            setattr(part, name, buffer)
