"""Tiny ALIGN, GroupViT and CLIPSeg models with random weights, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from transformers import (
    AlignConfig,
    AlignModel,
    AlignTextConfig,
    AlignVisionConfig,
    BertTokenizerFast,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    GroupViTConfig,
    GroupViTModel,
)

WORDS = ("cup", "mug", "red", "table", "ball", "box", "lamp", "desk")
MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)  # of pixels, as a processor's file has them
TEXT = {
    "vocab_size": 5 + len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
Model = TypeVar("Model", bound=nn.Module)
CLIP_TEXT = {**TEXT, "eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0, "max_position_embeddings": 64}


def save_align(folder: Path, projection: int = 80) -> AlignModel:
    """80 channels at stride 32, and words of `projection` numbers; a twelfth of B7's width."""
    vision = AlignVisionConfig(width_coefficient=0.25, depth_coefficient=0.25)
    config = AlignConfig(
        text_config=AlignTextConfig(**TEXT).to_dict(), vision_config=vision.to_dict(), projection_dim=projection
    )
    return _save(AlignModel(config), folder, seed=2)


def save_groupvit(folder: Path) -> GroupViTModel:
    """Two stages of grouping: patches of 8 pixels into 6 groups, those into 3; trained at 64 pixels."""
    vision = {
        "hidden_size": 24,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "depths": [1, 1, 1],
        "num_group_tokens": [6, 3, 0],
        "num_output_groups": [6, 3, 3],
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
    }
    config = GroupViTConfig(
        text_config=CLIP_TEXT, vision_config=vision, projection_dim=12, projection_intermediate_dim=20
    )
    return _save(GroupViTModel(config), folder, seed=11)


def save_clipseg(folder: Path) -> CLIPSegForImageSegmentation:
    """Three layers, patches of 8 pixels; trained at 32 pixels."""
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    config = CLIPSegConfig(
        text_config=CLIP_TEXT,
        vision_config=vision,
        projection_dim=12,
        extract_layers=[0, 2],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=8,
    )
    return _save(CLIPSegForImageSegmentation(config), folder, seed=11)


def _save(model: Model, folder: Path, seed: int) -> Model:
    """`seed`: one that gives the tests' picture several groups and classes."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():  # what training starts with gives maps without contrast
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.5)
        else:
            nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.0, std=0.1)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(buffer, std=0.3)
        elif name.endswith("running_var"):
            nn.init.uniform_(buffer, 0.5, 1.5)
    model.eval().save_pretrained(folder)
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
    BertTokenizerFast(vocab={word: index for index, word in enumerate(words)}).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        f'{{"image_processor_type": "ViTImageProcessor", "image_mean": {list(MEAN)}, "image_std": {list(STD)}}}'
    )
    return model
