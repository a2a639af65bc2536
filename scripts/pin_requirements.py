"""Write requirements/constraints.txt from what is installed in the running virtual environment.

Use it after a requirement has changed and all tests have passed:
    .venv/bin/python scripts/pin_requirements.py
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "requirements" / "constraints.txt"
HEADER = """\
# Exact versions of everything that the tests saw, on Python 3.11. Each file of this folder reads it.
# Written by scripts/pin_requirements.py.
"""
NOT_PINNED = {"openseg-ros", "pip"}


def pins() -> list[str]:
    """One line `name==version` per distribution that came from a package index.

    The ROS wheels also lay down the metadata of colcon's kind of package (`std_msgs` beside `ros-std-msgs`),
    which no index has; those have no RECORD. Local versions (`2.13.0+cpu`) are cut: an index elsewhere may
    name its build differently.
    """
    found = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name not in NOT_PINNED and distribution.read_text("RECORD") is not None:
            found[name] = distribution.version.split("+")[0]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    lines = pins()
    FILE.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{FILE}: {len(lines)} pins")
