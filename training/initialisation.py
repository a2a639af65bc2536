"""Starting weights: a model folder of ours, or a pretrained backbone of transformers or timm (paper 4.1, table 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from openseg_ros.model.openseg import OpenSeg
from openseg_ros.runtime.weights import CONFIG_FILE, TENSOR_FILE, WeightsError, load_weights
from openseg_ros.share_directory import share_directory

# Parts of an EfficientNet block: timm's names, and transformers', which are ours. The first stage of timm has no
# expansion, so its pointwise convolution is the projection.
TIMM_BLOCK = {
    "conv_pw": "expansion.expand_conv",
    "bn1": "expansion.expand_bn",
    "conv_dw": "depthwise_conv.depthwise_conv",
    "bn2": "depthwise_conv.depthwise_norm",
    "se.conv_reduce": "squeeze_excite.reduce",
    "se.conv_expand": "squeeze_excite.expand",
    "conv_pwl": "projection.project_conv",
    "bn3": "projection.project_bn",
}
TIMM_FIRST_STAGE = {
    "conv_dw": "depthwise_conv.depthwise_conv",
    "bn1": "depthwise_conv.depthwise_norm",
    "se.conv_reduce": "squeeze_excite.reduce",
    "se.conv_expand": "squeeze_excite.expand",
    "conv_pw": "projection.project_conv",
    "bn2": "projection.project_bn",
}


def initialise(network: OpenSeg, source: str) -> str:
    """Take over the weights of `source` in place; returns a sentence on what was taken.

    Args:
        network: a fresh network.
        source: a model folder of ours or the name of a shipped model: every tensor that fits in name and shape is
            taken. Position embeddings of another grid are resized, and anchored queries of another number are moved,
            so that a network can be trained first at a smaller size with fewer of them. Or a folder or hub name with
            a backbone as `model.safetensors`: an ALIGN, EfficientNet or ResNet of transformers
            (kakaobrain/align-base, microsoft/resnet-101), or one of timm (timm/tf_efficientnet_b7.ns_jft_in1k); then
            all of the backbone must fit.

    Backbones trained on pixels normalised by ImageNet's mean and deviation need no change: ours differ by a scale and
    a shift, which the BatchNorm behind the first convolution takes out.

    Raises:
        WeightsError: no such weights, of another architecture, or damaged.
    """
    folders = (Path(), share_directory() / "models")  # an absolute path stays itself behind either
    if any((folder / Path(source).expanduser() / CONFIG_FILE).is_file() for folder in folders):
        return _take_model(network, source)
    found = _rename(_read_backbone(source))
    own = network.backbone.state_dict()
    # The counters of batches are not compared: they do nothing where a BatchNorm has a momentum, as all of ours have.
    unmet = [
        key
        for key, value in own.items()
        if not key.endswith("num_batches_tracked") and (key not in found or found[key].shape != value.shape)
    ]
    if unmet:
        raise WeightsError(
            f"'{source}' does not fit the backbone '{network.config.backbone}': it has no {unmet[0]} of shape "
            f"{tuple(own[unmet[0]].shape)} ({len(unmet)} of {len(own)} tensors do not fit)"
        )
    network.backbone.load_state_dict({key: found.get(key, value) for key, value in own.items()})
    return f"backbone ({len(own)} tensors) from {source}"


def _take_model(network: OpenSeg, source: str) -> str:
    """Take over every tensor that fits."""
    own = network.state_dict()
    taken = 0
    weights = load_weights(source)
    for key, value in weights.state.items():
        if key not in own:
            continue
        target = own[key].shape
        if key.startswith("position.") and value.shape != target:
            value = torch.nn.functional.interpolate(value, size=target[-2:], mode="bilinear", align_corners=False)
        if value.shape == target:
            own[key] = value
            taken += 1
    if not taken:
        raise WeightsError(f"no tensor of '{source}' fits this network in name and shape")
    network.load_state_dict(own)
    given = weights.description.model
    if given.num_queries != network.config.num_queries and given.query_init == network.config.query_init == "anchors":
        network.queries.data = _moved_queries(weights.build_network(), network)
        taken += 1
    return f"{taken} of {len(own)} tensors from {source}"


@torch.no_grad()
def _moved_queries(given: OpenSeg, network: OpenSeg) -> Tensor:
    """Queries (N, D) for the anchors of `network`: what those of `given` learned beyond their places, interpolated."""
    places, new_places = (net.position.at_anchors(net.config.num_queries) for net in (given, network))
    learned = given.queries.T.reshape(places.shape) - places
    resized = torch.nn.functional.interpolate(learned, size=new_places.shape[-2:], mode="bilinear", align_corners=False)
    return (resized + new_places)[0].flatten(1).T.contiguous()


def _read_backbone(source: str) -> dict[str, Tensor]:
    folder = Path(source).expanduser()
    try:
        file = folder / TENSOR_FILE if folder.is_dir() else Path(hf_hub_download(source, TENSOR_FILE))
        return load_file(file)
    except (HfHubHTTPError, HFValidationError, OSError) as error:  # OSError: also no network and nothing cached
        raise WeightsError(
            f"cannot start from '{source}': not a model folder of ours, and no {TENSOR_FILE} there ({error}). Pickled "
            "weights are not read; transformers' from_pretrained and save_pretrained make a folder with safetensors"
        ) from error
    except SafetensorError as error:
        raise WeightsError(f"cannot start from '{source}': {TENSOR_FILE} is damaged ({error})") from error


def _rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of our backbones, which are transformers'; others are dropped."""
    if "conv_stem.weight" in state:
        return _rename_timm_efficientnet(state)
    rename = _timm_resnet_key if "layer1.0.conv1.weight" in state else _transformers_key
    return {name: value for key, value in state.items() if (name := rename(key))}


def _transformers_key(key: str) -> str | None:
    for pattern, ours in (
        (r"(.*\.)?embeddings\.(?=convolution|batchnorm)", "stem."),  # EfficientNet, alone or in ALIGN
        (r"(.*\.)?encoder\.blocks\.", "blocks."),
        (r"(.*\.)?embedder\.embedder\.", "net.embedder.embedder."),  # ResNet
        (r"(.*\.)?encoder\.stages\.", "net.encoder.stages."),
    ):
        if re.match(pattern, key):
            return re.sub(pattern, ours, key, count=1)
    return None


def _rename_timm_efficientnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    block = re.compile(r"blocks\.(\d+)\.(\d+)\.(.+)\.(\w+)$")
    # timm counts blocks per stage, transformers through all stages.
    places = sorted({(int(match[1]), int(match[2])) for key in state if (match := block.match(key))})
    numbers = {place: number for number, place in enumerate(places)}
    renamed = {}
    for key, value in state.items():
        if match := block.match(key):
            stage, part = int(match[1]), match[3]
            names = TIMM_BLOCK if stage else TIMM_FIRST_STAGE
            if part in names:
                renamed[f"blocks.{numbers[stage, int(match[2])]}.{names[part]}.{match[4]}"] = value
        elif match := re.match(r"(conv_stem|bn1)\.(\w+)$", key):
            renamed[f"stem.{'convolution' if match[1] == 'conv_stem' else 'batchnorm'}.{match[2]}"] = value
    return renamed


def _timm_resnet_key(key: str) -> str | None:
    """Also torchvision's names, which are the same."""
    kinds = {"conv": "convolution", "bn": "normalization"}
    if match := re.match(r"(conv|bn)1\.(\w+)$", key):
        return f"net.embedder.embedder.{kinds[match[1]]}.{match[2]}"
    if match := re.match(r"layer(\d)\.(\d+)\.(conv|bn)(\d)\.(\w+)$", key):
        stage, block, kind, number, what = match.groups()
        return f"net.encoder.stages.{int(stage) - 1}.layers.{block}.layer.{int(number) - 1}.{kinds[kind]}.{what}"
    if match := re.match(r"layer(\d)\.(\d+)\.downsample\.([01])\.(\w+)$", key):
        stage, block, number, what = match.groups()
        kind = "convolution" if number == "0" else "normalization"
        return f"net.encoder.stages.{int(stage) - 1}.layers.{block}.shortcut.{kind}.{what}"
    return None
