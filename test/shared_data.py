"""Sample files that are not part of the repository: found beside it, or the test that needs them is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest


def shared_data(path: str) -> Path:
    """`../shared/data/<path>` of the nearest folder above this file that has it; skips the test where there is none."""
    for folder in Path(__file__).resolve().parents:
        found = folder / "shared" / "data" / path
        if found.exists():
            return found
    pytest.skip(f"shared/data/{path} is not beside the repository")
