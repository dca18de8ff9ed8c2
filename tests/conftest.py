"""What tests of every kind share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from made_views import MadeViews
from web_client import Asker

from monitor.web.settings import WebSettings

settings.register_profile("quick", max_examples=12, deadline=None, derandomize=True)
settings.register_profile(
    "thorough", max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "2000")), deadline=None, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def require_tool(name: str) -> str:
    """The path of a program a test drives. Without it the test is skipped, but in CI (``CI=true``) it fails."""
    path = shutil.which(name)
    if path is not None:
        return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed; CI must run every test")
    pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Debian's chromium."""
    return require_tool("chromium")


@pytest.fixture
def ask() -> Iterator[Callable[..., Asker]]:
    """Starts the web application over some views; all are stopped afterwards."""
    started: list[Asker] = []

    def start(views: MadeViews | None = None, **settings: Any) -> Asker:
        asker = Asker(views or MadeViews(), WebSettings(**{"timezone": "Asia/Shanghai", **settings}))
        started.append(asker)
        return asker

    yield start
    for asker in started:
        asker.close()
