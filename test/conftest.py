"""What every test shares."""

from __future__ import annotations

import fcntl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted networks of tests, and of the processes that they start, stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def accelerate_starts_anew() -> Iterator[None]:
    """Accelerate keeps its precision and device for the life of a process; a training run is one process, tests not."""
    yield
    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def domain() -> Iterator[int]:
    """A ROS domain that no other test process on this machine uses, guarded by a lock file."""
    for number in range(20, 100):
        stream = open(Path(tempfile.gettempdir()) / f"openseg_test_domain_{number}.lock", "w")  # noqa: SIM115
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
            continue
        yield number
        stream.close()
        return
    pytest.fail("no free ROS domain between 20 and 99")
