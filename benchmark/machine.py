"""Where figures were taken: without it a time means nothing."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = ("numpy", "opencv-python-headless", "openvino", "torch", "transformers")


def describe_machine() -> dict[str, object]:
    """Processor, GPU, versions, and how busy the machine is with other work at this moment."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_average": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    """Name, and the number formats that decide which engine is fast."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in info.read_text(encoding="utf-8").splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in fields.items()}
    formats = [flag for flag in ("avx2", "avx512_bf16", "avx512_vnni", "amx_bf16") if flag in values.get("flags", "")]
    return " ".join([values.get("model name", platform.machine()), *formats])
