"""The network's parts: sizes of the paper, shapes, masks, pooling, export."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small_model import SMALL

from openseg_ros.model.backbone import build_backbone
from openseg_ros.model.config import ModelConfig
from openseg_ros.model.cross_attention import CrossAttentionBlock
from openseg_ros.model.openseg import OpenSeg, OpenSegInference
from openseg_ros.model.pooling import pool_regions
from openseg_ros.model.position_embedding import PositionEmbedding
from training.precision import keep_depthwise_in_fp32


def test_paper_sized_model_has_the_parameters_counted_from_the_paper() -> None:
    with torch.device("meta"):
        network = OpenSeg(ModelConfig())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == pytest.approx(121.8e6, rel=0.005)  # counted from the paper's description
    assert network.backbone.channels == (48, 80, 224, 640)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", (64, 128, 256, 512)),
        ("resnet50", (256, 512, 1024, 2048)),
        ("efficientnet-b0", (24, 40, 112, 320)),
        ("efficientnet-lite2", (24, 48, 120, 352)),
    ],
)
def test_backbones_tap_strides_4_to_32(name: str, channels: tuple[int, ...]) -> None:
    features = build_backbone(name).eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(feature.shape) for feature in features] == [
        (1, count, 64 // stride, 96 // stride) for count, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]


def test_unknown_backbone_and_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'vgg'"):
        build_backbone("vgg")
    with pytest.raises(ValueError, match="choose another EfficientNet"):
        build_backbone("efficientnet-b0", 0.5)
    with pytest.raises(ValueError, match="multiples of 32"):
        ModelConfig(input_size=(100, 128))
    with pytest.raises(ValueError, match="not divisible"):
        ModelConfig(hidden_dim=100, attention_heads=8)


@pytest.mark.parametrize("stride", [4, 8])
def test_output_shapes(stride: int) -> None:
    config = ModelConfig(**{**vars(SMALL), "head_stride": stride})
    output = OpenSeg(config).eval()(torch.zeros(2, 3, 96, 128), torch.ones(2, *config.grid))
    assert output["mask_logits"].shape == (2, 12, 96 // stride, 128 // stride)
    assert output["embeddings"].shape == (2, 12, 384)


def test_region_features_are_the_mean_inside_the_mask() -> None:
    logits = torch.full((1, 1, 2, 2), -50.0)
    logits[0, 0, 0] = 50.0  # the upper row
    features = torch.arange(8.0).reshape(1, 2, 2, 2)  # channel 0: 0 1 / 2 3, channel 1: 4 5 / 6 7
    assert torch.allclose(pool_regions(logits, features, torch.ones(1, 2, 2)), torch.tensor([[[0.5, 4.5]]]), atol=1e-4)
    only_left = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert torch.allclose(pool_regions(logits, features, only_left), torch.tensor([[[0.0, 4.0]]]), atol=1e-4)


def test_projecting_regions_equals_projecting_pixels() -> None:
    torch.manual_seed(0)
    logits, features, valid = torch.randn(1, 3, 4, 4), torch.randn(1, 8, 4, 4), torch.ones(1, 4, 4)
    projection = torch.nn.Linear(8, 5, bias=False)
    pixels = projection(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert torch.allclose(
        projection(pool_regions(logits, features, valid)), pool_regions(logits, pixels, valid), atol=1e-5
    )


def test_centred_regions_lose_what_those_of_an_image_have_in_common() -> None:
    torch.manual_seed(4)
    plain = OpenSeg(SMALL).eval()
    centred = OpenSeg(replace(SMALL, center_regions=True)).eval()
    centred.load_state_dict(plain.state_dict())
    pooled = torch.randn(2, 12, 32)
    unit, embeddings = F.normalize(plain.describe(pooled), dim=-1), centred.describe(pooled)
    assert torch.allclose(embeddings.mean(1), torch.zeros(2, 384), atol=1e-6)  # of each image, not of the batch
    assert torch.allclose(embeddings[:, 1:] - embeddings[:, :1], unit[:, 1:] - unit[:, :1], atol=1e-6)


def test_position_embedding_factors_and_resizes() -> None:
    embedding = PositionEmbedding(dim=3, grid=(4, 5), kind="factored")
    rows, columns = embedding.parts
    assert torch.equal(embedding((4, 5))[0, :, 2, 3], rows[0, :, 2, 0] + columns[0, :, 0, 3])
    assert embedding((8, 10)).shape == (1, 3, 8, 10)


def test_inference_normalises_bytes_and_embeddings_and_ignores_padding() -> None:
    torch.manual_seed(0)
    network = OpenSegInference(OpenSeg(SMALL))
    images = torch.full((1, 96, 128, 3), 128, dtype=torch.uint8)
    valid = torch.ones(1, 24, 32)
    logits, embeddings = network(images, valid)
    expected = network.network(torch.zeros(1, 3, 96, 128), valid)["mask_logits"]
    assert torch.allclose(logits, expected, atol=1e-6)  # 128 is the zero of the network's input
    assert torch.allclose(embeddings.norm(dim=-1), torch.ones(1, 12), atol=1e-5)


@pytest.mark.parametrize("center_regions", [False, True])
def test_export_gives_the_same_numbers(center_regions: bool) -> None:
    torch.manual_seed(1)
    network = OpenSegInference(OpenSeg(replace(SMALL, center_regions=center_regions)))
    inputs = torch.randint(0, 255, (1, 96, 128, 3), dtype=torch.uint8), torch.ones(1, 24, 32)
    exported = torch.export.export(network, inputs).module()
    for ours, theirs in zip(network(*inputs), exported(*inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_attention_is_the_same_in_training_and_in_use() -> None:
    torch.manual_seed(2)
    block = CrossAttentionBlock(dim=32, heads=4, ffn_ratio=2.0)
    queries, features = torch.randn(2, 5, 32), torch.randn(2, 40, 32)
    trained = block(queries, features)
    with torch.no_grad():
        assert torch.allclose(trained, block(queries, features), atol=1e-5)


def test_depthwise_convolutions_stay_out_of_autocast() -> None:
    torch.manual_seed(3)
    backbone = build_backbone("efficientnet-lite0").eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        exact = backbone(images)[3]
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(images)[3]
            keep_depthwise_in_fp32(backbone)
            better = backbone(images)[3]
    assert better.dtype == rough.dtype == torch.bfloat16
    assert not torch.equal(better, rough)
    assert (better - exact).norm() < 0.05 * exact.norm()
