"""Says in one line which system packages are missing, and how to install them on Debian or Ubuntu.

Exit code 0: nothing is missing. With --packages only the names of the Debian packages are printed, for
.ci/run. It runs before anything is installed, on whatever Python there is, so it uses the standard library
alone and no newer syntax than Python 3.7.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator

OLDEST_CMAKE = (3, 20)  # CMakeLists.txt uses cmake_language(DEFER)
PYTHONS = ((3, 11), (3, 12))  # those that the ROS 2 wheels exist for


def python_faults() -> Iterator[tuple[str, str]]:
    """Yield (what is missing, its Debian packages) for Python and its parts."""
    if sys.version_info[:2] not in PYTHONS:
        found = "{}.{}".format(*sys.version_info)
        yield "Python 3.11 or 3.12 (this is " + found + "; `make PYTHON=...` chooses one)", "python3"
        return
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        yield "Python's venv module", "python3-venv"
    if not os.path.isfile(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        yield "Python's C headers", "python3-dev"


def compiler_faults() -> Iterator[tuple[str, str]]:
    """Yield (what is missing, its Debian packages) for what compiles the messages."""
    if shutil.which("cc") is None or shutil.which("c++") is None:
        yield "a C and C++ compiler", "gcc g++"
    if shutil.which("make") is None:
        yield "make", "make"
    oldest = ".".join(map(str, OLDEST_CMAKE))
    if shutil.which("cmake") is None:
        yield "cmake " + oldest + " or newer", "cmake"
        return
    text = subprocess.run(["cmake", "--version"], stdout=subprocess.PIPE, check=False).stdout.decode()
    found = re.search(r"version (\d+)\.(\d+)", text)
    if found is None or tuple(map(int, found.groups())) < OLDEST_CMAKE:
        yield "cmake " + oldest + " or newer", "cmake"


def loads(library: str) -> bool:
    """Whether the dynamic linker finds `library`."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def rendering_faults() -> Iterator[tuple[str, str]]:
    """Yield (what is missing, its Debian packages) for drawing without a screen, by EGL or by OSMesa."""
    egl = loads("libEGL.so.1") and (loads("libEGL_mesa.so.0") or loads("libEGL_nvidia.so.0"))
    egl = egl and (loads("libOpenGL.so.0") or loads("libGL.so.1"))
    if not egl and not loads("libOSMesa.so.8") and not loads("libOSMesa.so"):
        yield "OpenGL without a screen (EGL or OSMesa)", "libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0 libosmesa6"


def main() -> int:
    """Check everything; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packages", action="store_true", help="print only the missing Debian packages")
    only_packages = parser.parse_args().packages
    faults = [*python_faults(), *compiler_faults(), *rendering_faults()]
    packages = " ".join(package for _, package in faults)
    if only_packages:
        print(packages)
        return 0
    if faults:
        missing = ", ".join(what for what, _ in faults)
        print("Missing on this machine: " + missing + ". Debian, Ubuntu: sudo apt-get install " + packages)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
