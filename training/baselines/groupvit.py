"""GroupViT (Xu et al., CVPR 2022; table 2 of the paper): groups of patches, each with an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.text.text_encoder import TextEncoder
from openseg_ros.text.transformers_text_encoder import TransformersTextEncoder
from training.baselines.network_input import check_multiple, fit_longer_side, to_tensor
from training.baselines.pretrained import image_normalisation, load_pretrained, reading, tensor_hash, text_pool
from training.evaluation.best_class import best_class
from training.evaluation.class_embeddings import ClassEmbeddings, SystemOfNames
from training.evaluation.upsampled_bands import upsampled_bands

HUB_NAME = "nvidia/groupvit-gcc-yfcc"
IMAGE_SIZE = 592  # longer side; an image of 4:3 then has 448 as shorter side, what its authors evaluated with


class GroupVitSystem(SystemOfNames):
    """Scores of transformers' GroupViT with `output_segmentation`, whose text side runs once instead of per image.

    Its authors' figures come from more than the model: templates around names, only the five classes that suit the
    image as a whole, a threshold for the background. None of that is here: every system is asked the same words.
    """

    name = "groupvit"

    def __init__(
        self,
        model: Any,
        source: str,
        normalisation: tuple[Sequence[float], Sequence[float]],
        device: str = "cpu",
        image_size: int = IMAGE_SIZE,
    ) -> None:
        """Take transformers' GroupViTModel and mean and deviation of its pixels; the tokenizer is in `source`."""
        self.sha256 = tensor_hash(model)
        self._patch = int(model.config.vision_config.patch_size)
        self._image_size = check_multiple(image_size, self._patch)
        self._model, self._device, self._normalisation = model, device, normalisation
        with reading(source):
            pool = text_pool(model.get_text_features, device)
            super().__init__(TransformersTextEncoder(name=source, source=source, pool=pool))

    @classmethod
    def load(cls, source: str = HUB_NAME, device: str = "cpu", image_size: int = IMAGE_SIZE) -> GroupVitSystem:
        """Load a folder or a name on the hub.

        Raises:
            WeightsError, EngineError: as `load_pretrained`.
            ValueError: `image_size` is not a multiple of the patch size.
        """
        from transformers import GroupViTModel

        model = load_pretrained(GroupViTModel, source, device)
        return cls(model, source, image_normalisation(source), device, image_size)

    @torch.inference_mode()
    def predict(self, image: np.ndarray, truth: np.ndarray | None = None) -> GroupPrediction:
        """Run the image tower on (H, W, 3) uint8 RGB; `truth` is not looked at.

        Raises:
            RuntimeError: `set_classes` was not called.
        """
        classes = self._classes  # before any work: raises
        letterbox, pixels = fit_longer_side(image, self._image_size, self._patch)
        vision = self._model.vision_model
        # Past the model's own forward, which takes squares of its training size only.
        patches = vision.embeddings(
            to_tensor(pixels, *self._normalisation, self._device), interpolate_pos_encoding=True
        )
        output = vision.encoder(hidden_states=patches, output_attentions=True, return_dict=True)
        groups = self._model.visual_projection(vision.layernorm(output.last_hidden_state)[0])
        # Each stage says how much of a token goes to each of its groups: (groups, tokens). Their product is how much of
        # a patch ends in each of the last groups.
        share = output.attentions[0][0]
        for stage in output.attentions[1:]:
            share = stage[0] @ share
        return GroupPrediction(
            letterbox,
            share.reshape(-1, *letterbox.grid_size).cpu().numpy(),
            torch.nn.functional.normalize(groups, dim=1).cpu().numpy(),
            classes,
            self._encoder,
        )


class GroupPrediction:
    """Soft groups that share out every pixel, with an embedding each."""

    def __init__(
        self,
        letterbox: Letterbox,
        shares: np.ndarray,
        embeddings: np.ndarray,
        classes: ClassEmbeddings,
        encoder: TextEncoder,
    ) -> None:
        """`shares` (G, h, w) float32 that sum to 1 in every cell, `embeddings` (G, D) of unit length."""
        self._letterbox = letterbox
        self._shares = shares
        self._embeddings = embeddings
        self._classes = classes
        self._encoder = encoder

    @cached_property
    def proposals(self) -> np.ndarray:
        """(G, H, W) bool: each pixel in the group that has most of it."""
        proposals = np.empty((len(self._shares), *self._letterbox.image_size), bool)
        groups = np.arange(len(self._shares))[:, None, None]
        for rows, shares in upsampled_bands(self._letterbox, self._shares):
            proposals[:, rows] = shares.argmax(0) == groups
        return proposals

    def segment(self, rows: np.ndarray) -> np.ndarray:
        """Argmax over the classes of <w, group> times the group's share, summed over the groups. (H, W) int64."""
        scores = self._classes.scores(self._embeddings, rows)
        best = np.empty(self._letterbox.image_size, np.int64)
        for band, shares in upsampled_bands(self._letterbox, self._shares):
            best[band] = best_class(scores, shares.reshape(len(shares), -1)).reshape(shares.shape[1:])
        segmented: np.ndarray = rows[best]
        return segmented

    def find(self, phrases: Sequence[str]) -> np.ndarray:
        """(P, H, W) bool: the group whose embedding is nearest to each phrase."""
        words = self._encoder.encode(phrases)
        found: np.ndarray = self.proposals[(words @ self._embeddings.T).argmax(1)]
        return found
