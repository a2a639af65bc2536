"""CLIPSeg (Lüddecke and Ecker, CVPR 2022): one map of logits for each prompt, made without a look at the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from openseg_ros.text.text_encoder import BATCH, MAX_TOKENS
from training.baselines.network_input import check_multiple, to_tensor
from training.baselines.pretrained import image_normalisation, load_pretrained, reading, tensor_hash, text_pool
from training.evaluation.class_list import ClassList

HUB_NAME = "CIDAS/clipseg-rd64-refined"
IMAGE_SIZE = 352  # what it was trained on and its own processor gives


class ClipSegSystem:
    """Argmax over the maps of all prompts; a class has the highest logit of its names.

    The prompts are the bare names, as for every system.
    """

    name = "clipseg"

    def __init__(
        self,
        model: Any,
        source: str,
        normalisation: tuple[Sequence[float], Sequence[float]],
        device: str = "cpu",
        image_size: int = IMAGE_SIZE,
    ) -> None:
        """Take transformers' CLIPSegForImageSegmentation and mean and deviation of its pixels.

        The tokenizer is in `source`.
        """
        from transformers import AutoTokenizer

        self.sha256 = tensor_hash(model)
        self._image_size = check_multiple(image_size, int(model.config.vision_config.patch_size))
        self._model, self._device, self._normalisation = model, device, normalisation
        with reading(source):
            self._tokenizer = AutoTokenizer.from_pretrained(source)
        self._pool = text_pool(model.clip.get_text_features, device)
        self._prompts: list[Tensor] | None = None

    @classmethod
    def load(cls, source: str = HUB_NAME, device: str = "cpu", image_size: int = IMAGE_SIZE) -> ClipSegSystem:
        """Load a folder or a name on the hub.

        Raises:
            WeightsError, EngineError: as `load_pretrained`.
            ValueError: `image_size` is not a multiple of the patch size.
        """
        from transformers import CLIPSegForImageSegmentation

        model = load_pretrained(CLIPSegForImageSegmentation, source, device)
        return cls(model, source, image_normalisation(source), device, image_size)

    def set_classes(self, classes: ClassList) -> None:
        """Encode all names."""
        names = [name for group in classes.names for name in group]
        encoded = torch.cat([self._encode(names[start : start + BATCH]) for start in range(0, len(names), BATCH)])
        self._prompts = list(encoded.split([len(group) for group in classes.names]))

    @torch.inference_mode()
    def predict(self, image: np.ndarray, truth: np.ndarray | None = None) -> ClipSegPrediction:
        """Run the image tower on (H, W, 3) uint8 RGB; `truth` is not looked at.

        Raises:
            RuntimeError: `set_classes` was not called.
        """
        if self._prompts is None:
            raise RuntimeError("set_classes must come before predict")
        # Its decoder takes squares only: the aspect ratio is lost, as with its own processor.
        square = cv2.resize(image, (self._image_size, self._image_size), interpolation=_method(image, self._image_size))
        vision = self._model.clip.vision_model(
            pixel_values=to_tensor(square, *self._normalisation, self._device),
            interpolate_pos_encoding=True,
            output_hidden_states=True,
        )
        # hidden_states[0] is what the first layer gets.
        layers = tuple(vision.hidden_states[layer + 1] for layer in self._model.extract_layers)
        return ClipSegPrediction(self._model.decoder, layers, self._prompts, (image.shape[0], image.shape[1]))

    @torch.inference_mode()
    def _encode(self, names: list[str]) -> Tensor:
        """(P, D) float32 on the device, of any length: the decoder was trained on vectors that are not normalised."""
        tokens = self._tokenizer(names, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        return self._pool(dict(tokens)).to(self._device)


class ClipSegPrediction:
    """Layers of the image tower, decoded for the prompts of the classes that are asked for."""

    proposals: np.ndarray | None = None  # its masks belong to words: none without them

    def __init__(
        self, decoder: Any, layers: tuple[Tensor, ...], prompts: Sequence[Tensor], image_size: tuple[int, int]
    ) -> None:
        """`layers` (1, L, C) each, `prompts` (P, D) for each class, `image_size` (H, W)."""
        self._decoder = decoder
        self._layers = layers
        self._prompts = prompts
        self._image_size = image_size

    def segment(self, rows: np.ndarray) -> np.ndarray:
        """Argmax over the classes of the interpolated logits, the first of equal ones. (H, W) int64."""
        height, width = self._image_size
        best = np.full(self._image_size, rows[0], np.int64)
        highest = np.full(self._image_size, -np.inf, np.float32)
        # Class after class: the maps of 847 classes would not fit in memory.
        for row, logits in zip(rows, self._class_logits(rows), strict=True):
            enlarged = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
            higher = enlarged > highest
            best[higher] = row
            highest[higher] = enlarged[higher]
        return best

    @torch.inference_mode()
    def _class_logits(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """(S, S) float32 for each class."""
        for start in range(0, len(rows), BATCH):
            prompts = [self._prompts[row] for row in rows[start : start + BATCH]]
            joined = torch.cat(prompts)
            layers = tuple(layer.expand(len(joined), -1, -1) for layer in self._layers)
            logits = self._decoder(layers, joined).logits
            for names in logits.split([len(prompt) for prompt in prompts]):
                yield names.amax(0).cpu().numpy()


def _method(image: np.ndarray, side: int) -> int:
    """Area averaging where the image shrinks: linear sampling would skip pixels."""
    return cv2.INTER_AREA if max(image.shape[:2]) > side else cv2.INTER_LINEAR
