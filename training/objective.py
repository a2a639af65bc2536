"""From a batch to the loss: OpenSeg's two losses (paper eq. 5), or the per-pixel loss of its baseline LSeg+ (4.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from openseg_ros.model.openseg import MASK_BRANCH, OpenSeg
from training.config import TrainConfig
from training.data.samples import Batch
from training.distributed import Gather
from training.losses.grounding_loss import grounding_loss
from training.losses.pixel_loss import pixel_loss
from training.losses.segmentation_loss import dice_of_proposals, labelled_regions, segmentation_loss


class Objective(nn.Module):
    """The network with its loss, so that one forward call is all that a wrapper of many processes has to see."""

    def __init__(self, network: OpenSeg, config: TrainConfig, gather: Gather | None) -> None:
        """`gather`: None for one process. Parts of `network` that are not trained are frozen."""
        super().__init__()
        self.network = network
        self.config = config
        self.gather = gather
        if config.method == "lseg":
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name.split(".")[0] not in MASK_BRANCH)
        if config.optimizer.backbone_factor == 0:
            network.backbone.requires_grad_(False)  # saves its backward pass
        for head in (network.mask_head, network.embedding_head):
            head.recompute = config.activation_checkpointing

    def forward(self, batch: Batch, table: Tensor) -> dict[str, Tensor]:
        """Losses of one batch, scalars: `loss`, which is to be minimised, and its parts.

        The average over the processes is the loss of the whole batch (`Gather` tells why), but for the grounding loss
        without `grounding_sync`: that is each process's own, and one whose part has no caption counts with 0.

        Args:
            batch: this process's part.
            table: (W, D) embeddings: of the words that `batch.words` counts, or of the class names for `lseg`.
        """
        if self.config.method == "lseg":
            return self._pixel_losses(batch, table)
        output = self.network(batch.images, batch.valid)
        with torch.autocast(batch.images.device.type, enabled=False):  # a cosine over tau has no bits to spare
            dice = dice_of_proposals(output["mask_logits"], batch.labels, batch.valid)
            segmentation = segmentation_loss(dice, batch.label_exists, self.gather)
            regions = None
            if self.config.grounding_regions == "labelled":
                regions = labelled_regions(dice.detach(), batch.label_exists)
            grounding = grounding_loss(
                output["embeddings"],
                table[batch.words],
                batch.word_exists,
                self.network.log_temperature.exp(),
                self.gather if self.config.grounding_sync else None,
                regions,
            )
        total = self.config.grounding_weight * grounding + self.config.segmentation_weight * segmentation
        return {"loss": total, "segmentation": segmentation, "grounding": grounding}

    def _pixel_losses(self, batch: Batch, table: Tensor) -> dict[str, Tensor]:
        pixels = self.network.pixel_embeddings(batch.images)
        with torch.autocast(batch.images.device.type, enabled=False):
            loss = pixel_loss(pixels, table, batch.classes.flatten(1), self.network.log_temperature.exp(), self.gather)
        return {"loss": loss}
