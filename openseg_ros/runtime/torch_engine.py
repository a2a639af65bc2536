"""The reference engine: PyTorch, eager."""

from __future__ import annotations

import numpy as np
import torch

from openseg_ros.model.openseg import OpenSegInference
from openseg_ros.runtime.engine import EngineError, EngineOutput
from openseg_ros.runtime.weights import Weights


class TorchEngine:
    """Runs the network as it was trained; "auto" precision is fp32, because this engine is what others are held to."""

    def __init__(self, weights: Weights, precision: str = "auto", device: str = "cpu") -> None:
        """Put the network on `device`.

        Raises:
            EngineError: the device does not exist.
        """
        try:
            self._device = torch.device(device)
            torch.zeros(1, device=self._device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise EngineError(f"torch cannot use device '{device}': {reason}") from error
        self._bf16 = precision == "bf16"
        self._network = OpenSegInference(weights.build_network()).to(self._device)
        self.name = f"torch {'bf16' if self._bf16 else 'fp32'} {device}"
        self.input_size = weights.description.model.input_size
        self.stride = int(weights.description.model.head_stride)

    @torch.inference_mode()
    def infer(self, images: np.ndarray, valid: np.ndarray) -> EngineOutput:
        """Run the network; see `Engine.infer`."""
        inputs = torch.from_numpy(images).to(self._device), torch.from_numpy(valid).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            mask_logits, embeddings = self._network(*inputs)
        return EngineOutput(mask_logits.cpu().numpy(), embeddings.cpu().numpy())
