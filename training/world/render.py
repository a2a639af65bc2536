"""Renders a data set of tabletop scenes in COCO layout.

python -m training.world.render --out data/train --scenes 2400 --views 3 --size 240x320 --seed 1 --workers 2

One free core renders about 8 views a second at 240x320. The same arguments give the same bytes for any number of
workers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.world.errors import GraphicsError, WorldError


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, for example 240x320") from None
    if not (32 <= height <= 4096 and 32 <= width <= 4096):
        raise argparse.ArgumentTypeError(f"{text!r}: height and width must lie between 32 and 4096 pixels")
    return height, width


def _things(text: str) -> tuple[int, int]:
    least, separator, most = text.partition("-")
    if not (least.isdigit() and (most.isdigit() or not separator)):
        raise argparse.ArgumentTypeError(f"{text!r} is not LEAST-MOST, for example 1-3")
    numbers = int(least), int(most or least)
    if not 1 <= numbers[0] <= numbers[1] <= 20:
        raise argparse.ArgumentTypeError(f"{text!r}: between 1 and 20 objects fit a table, the least first")
    return numbers


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1")
    return share


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.world.render", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--scenes", type=_positive, required=True)
    parser.add_argument("--views", type=_positive, default=3, help="pictures of each scene (3)")
    parser.add_argument("--things", type=_things, default=(3, 9), help="LEAST-MOST objects in a scene (3-9)")
    parser.add_argument("--ground", choices=("table", "floor"), default="table", help="what the objects lie on (table)")
    parser.add_argument("--size", type=_size, default=(240, 320), help="HEIGHTxWIDTH in pixels (240x320)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=_positive, default=1, help="processes (1)")
    parser.add_argument("--objects", type=Path, help="folder of GLB scans used beside the procedural objects")
    parser.add_argument(
        "--object-split", choices=("train", "val"), help="use only the scans of this split of objects.csv"
    )
    parser.add_argument(
        "--object-list", type=Path, help="use only the scans named in this text file (training/world/scan_lists)"
    )
    parser.add_argument("--scan-share", type=_share, default=0.5, help="probability that an object is a scan (0.5)")
    parser.add_argument(
        "--twin-share",
        type=_share,
        default=0.14,
        help="probability that an object is another of a kind that is there already; 1: mugs among mugs (0.14)",
    )
    parser.add_argument("--textures", type=Path, help="folder of surface pictures for table, floor and walls")
    parser.add_argument("--photos", type=Path, help="folder of photographs that cover some walls")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 2 wrong input, 3 no way to draw."""
    options = _parser().parse_args(arguments)
    for name in ("object_split", "object_list"):
        if getattr(options, name) and not options.objects:
            print(f"--{name.replace('_', '-')} says which scans to use, so it needs --objects DIR", file=sys.stderr)
            return 2
    try:
        # here and not above, so that a machine that cannot draw gets a sentence instead of a traceback
        from training.world.dataset import RenderSettings, render_dataset
        from training.world.scans import list_scans
        from training.world.scene import Sources
        from training.world.surfaces import PictureFolder

        sources = Sources(
            scans=list_scans(options.objects, options.object_split, options.object_list) if options.objects else (),
            scan_share=options.scan_share,
            twin_share=options.twin_share,
            textures=PictureFolder(options.textures, "--textures") if options.textures else None,
            photos=PictureFolder(options.photos, "--photos") if options.photos else None,
        )
        height, width = options.size
        settings = RenderSettings(options.seed, options.views, height, width, sources, options.things, options.ground)
        # everything that the result depends on; not the place it is written to, nor the number of processes
        kept = {
            key: str(value) if isinstance(value, Path) else value
            for key, value in vars(options).items()
            if key not in ("out", "workers")
        }
        render_dataset(settings, options.out, options.scenes, options.workers, kept)
    except GraphicsError as error:
        print(error, file=sys.stderr)
        return 3
    except WorldError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
