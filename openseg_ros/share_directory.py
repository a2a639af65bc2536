"""Where the shipped files (models, configuration, launch) are: the install prefix, or the source tree."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = "openseg_ros"


def share_directory() -> Path:
    """The folder that holds `models/` and `config/`.

    A source tree (recognised by its `package.xml`) wins over an installed copy, so that edits take effect;
    then the ROS prefix that this module was installed into (`<prefix>/share/openseg_ros`).

    Raises:
        FileNotFoundError: neither exists.
    """
    source_tree = Path(__file__).resolve().parent.parent
    if (source_tree / "package.xml").is_file():
        return source_tree
    candidates = [parent / "share" / PACKAGE for parent in Path(__file__).resolve().parents]
    candidates.append(Path(sys.prefix) / "share" / PACKAGE)
    for candidate in candidates:
        if (candidate / "package.xml").is_file():
            return candidate
    raise FileNotFoundError(f"no share/{PACKAGE} above {__file__} or in {sys.prefix}: is the package installed?")


def share_file(relative: str) -> Path:
    """The shipped file `relative`, for example `config/fastdds_shm.xml`.

    Raises:
        FileNotFoundError: it is not there.
    """
    path = share_directory() / relative
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing from the installation of {PACKAGE}")
    return path
