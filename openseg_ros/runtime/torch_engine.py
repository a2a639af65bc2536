"""The reference engine: PyTorch, eager on a CPU and compiled on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from openseg_ros.model.openseg import OpenSegInference
from openseg_ros.runtime.engine import EngineError, EngineOutput
from openseg_ros.runtime.weights import Weights

AUTOCAST = {"auto": None, "fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}


class TorchEngine:
    """Runs the network as it was trained; "auto" precision is fp32, because this engine is what others are held to."""

    fallback = ""

    def __init__(
        self,
        weights: Weights,
        precision: str = "auto",
        device: str = "cpu",
        input_size: tuple[int, int] | None = None,
    ) -> None:
        """Put the network on `device`.

        Raises:
            EngineError: the device does not exist, or `precision` is not torch's.
        """
        if precision not in AUTOCAST:
            raise EngineError(f"backend torch has no {precision}; use one of {', '.join(AUTOCAST)}")
        try:
            self._device = torch.device(device)
            torch.zeros(1, device=self._device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise EngineError(f"torch cannot use device '{device}': {reason}") from error
        self._autocast = AUTOCAST[precision]
        self._network: Callable[..., tuple[Tensor, Tensor]] = OpenSegInference(weights.build_network()).to(self._device)
        if self._device.type == "cuda":  # CUDA graphs: one launch instead of one for each of hundreds of kernels
            self._network = torch.compile(self._network, mode="reduce-overhead", dynamic=False)
        self.name = f"torch {'fp32' if precision == 'auto' else precision} {device}"
        self.input_size = input_size or weights.description.model.input_size
        self.stride = int(weights.description.model.head_stride)

    @torch.inference_mode()
    def infer(self, images: np.ndarray, valid: np.ndarray) -> EngineOutput:
        """Run the network; see `Engine.infer`."""
        try:
            inputs = torch.from_numpy(images).to(self._device), torch.from_numpy(valid).to(self._device)
            with torch.autocast(self._device.type, self._autocast, enabled=self._autocast is not None):
                mask_logits, embeddings = self._network(*inputs)
            return EngineOutput(mask_logits.cpu().numpy(), embeddings.cpu().numpy())
        except RuntimeError as error:  # out of memory is one
            raise EngineError(f"torch failed: {str(error).splitlines()[0]}") from error
