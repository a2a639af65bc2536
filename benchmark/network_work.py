"""Products and time of the network as it is trained and as an engine runs it: the same answers with less work.

python -m benchmark.network_work                  # the paper's size
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.options import OutOption
from benchmark.timing import measure, report
from openseg_ros.configuration import ConfigurationError, build_config
from openseg_ros.model.config import ModelConfig
from openseg_ros.model.openseg import PIXEL_CENTRE, OpenSeg, OpenSegInference


class AsTrained(nn.Module):
    """`OpenSegInference` without any step in another order."""

    def __init__(self, network: OpenSeg) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network.eval()

    def forward(self, images: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """See `OpenSegInference.forward`."""
        output = self.network((images.permute(0, 3, 1, 2).float() - PIXEL_CENTRE) / PIXEL_CENTRE, valid)
        return output["mask_logits"], F.normalize(output["embeddings"], dim=-1)


def count_products(config: ModelConfig) -> dict[str, dict[str, float]]:
    """Multiplications in 10^9 for one image, {form: {part: GMAC}}; nothing is computed."""
    counts = {}
    with torch.device("meta"):
        inputs = torch.zeros(1, *config.input_size, 3, dtype=torch.uint8), torch.ones(1, *config.grid)
        for name, form in (("as trained", AsTrained), ("as engines run it", OpenSegInference)):
            network = form(OpenSeg(config)).requires_grad_(False)
            with FlopCounterMode(display=False) as counter:
                network(*inputs)
            work = counter.get_flop_counts()
            backbone = sum(work[f"{form.__name__}.network.backbone"].values())
            # The counter counts a product and its sum as two.
            counts[name] = {"whole": counter.get_total_flops() / 2e9, "backbone": backbone / 2e9}
    return counts


def main(
    size: Annotated[str, typer.Option(metavar="HxW", help="Input of the timed network; counts are at full size.")] = (
        "128x128"
    ),
    rounds: Annotated[int, typer.Option(min=1, help="Timed runs of both forms.")] = 5,
    out: OutOption = None,
) -> None:
    """Compare the two forms of the paper's network."""
    counts = count_products(ModelConfig())
    table = Table("GMAC for one image of 640x640", *counts)
    for part in next(iter(counts.values())):
        table.add_row(part, *(f"{figures[part]:.1f}" for figures in counts.values()))
    Console().print(table)
    try:
        height, width = (int(side) for side in size.split("x"))
        config = build_config(ModelConfig, {"input_size": [height, width], "mask_logit_bias": 0.0})
    except (ConfigurationError, ValueError) as error:
        typer.secho(f"error: --size {size}: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    torch.manual_seed(0)
    network = OpenSeg(config)
    inputs = torch.randint(0, 256, (1, *config.input_size, 3), dtype=torch.uint8), torch.ones(1, *config.grid)
    rivals = {"as trained": AsTrained(network), "as engines run it": OpenSegInference(network)}
    with torch.inference_mode():
        logits, embeddings = zip(*(form(*inputs) for form in rivals.values()), strict=True)
        facts = {
            "gmac": counts,
            "ratio_of_products": counts["as engines run it"]["whole"] / counts["as trained"]["whole"],
            "timed_size": size,
            "rounds": rounds,
            "largest_logit_difference": float((logits[0] - logits[1]).abs().max()),
            "largest_logit": float(logits[0].abs().max()),
            "worst_cosine": float((embeddings[0] * embeddings[1]).sum(-1).min()),
        }
        Console().print(f"logits differ by {facts['largest_logit_difference']:.1e} of {facts['largest_logit']:.2f}")
        seconds = measure({name: partial(form, *inputs) for name, form in rivals.items()}, rounds)
    report(f"the paper's network, {size}, torch fp32", seconds, out, facts)


if __name__ == "__main__":
    typer.run(main)
