"""vision_msgs for machines without it: vision_msgs_interface, built as an ament package outside the repository."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "vision_msgs_interface"
# In the order in which they need each other.
LIBRARIES = (
    "generator_c",
    "typesupport_introspection_c",
    "typesupport_fastrtps_cpp",
    "typesupport_fastrtps_c",
    "typesupport_c",
    "generator_py",
)


def build() -> Path:
    """The prefix with the compiled package; built once per machine and version of the definitions (half a minute)."""
    files = sorted(path for path in SOURCE.rglob("*") if path.is_file())
    key = hashlib.sha256(b"".join(path.read_bytes() for path in files) + sys.executable.encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"openseg_vision_msgs_{key}"
    folder.mkdir(exist_ok=True)
    prefix, finished = folder / "prefix", folder / "finished"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            environment = os.environ | dict.fromkeys(("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"), sys.prefix)
            options = [f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DPython3_EXECUTABLE={sys.executable}"]
            for command in (
                ["cmake", "-S", str(SOURCE), "-B", str(folder / "build"), *options],
                ["cmake", "--build", str(folder / "build"), "--parallel", str(os.cpu_count() or 1)],
                ["cmake", "--install", str(folder / "build")],
            ):
                subprocess.run(command, check=True, env=environment)
            finished.touch()
    return prefix


def environment(prefix: Path) -> dict[str, str]:
    """What a process needs to find the package."""
    (modules,) = prefix.glob("lib/python*/site-packages")
    added = {"AMENT_PREFIX_PATH": prefix, "PYTHONPATH": modules, "LD_LIBRARY_PATH": prefix / "lib"}
    present = {"AMENT_PREFIX_PATH": sys.prefix, "PYTHONPATH": "", "LD_LIBRARY_PATH": ""} | dict(os.environ)
    return {name: os.pathsep.join(filter(None, (str(path), present[name]))) for name, path in added.items()}


def load(prefix: Path) -> None:
    """Make the package importable in this process, which started without it on its library path."""
    (modules,) = prefix.glob("lib/python*/site-packages")
    sys.path.insert(0, str(modules))
    for library in LIBRARIES:
        ctypes.CDLL(str(prefix / "lib" / f"libvision_msgs__rosidl_{library}.so"), mode=ctypes.RTLD_GLOBAL)
