"""What every test shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted networks of tests, and of the processes that they start, stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
