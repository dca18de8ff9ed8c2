"""What tests of every kind share."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:  # what takes seconds to import is imported by the fixtures that need it
    from kafka_cluster import KafkaCluster
    from made_views import MadeViews
    from web_client import Asker

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


@pytest.fixture(scope="session")
def prometheus() -> str:
    """Path of Debian's prometheus; promtool is there too. See :mod:`prometheus_server`."""
    require_tool("promtool")
    return require_tool("prometheus")


@pytest.fixture(scope="session")
def alertmanager() -> str:
    """Path of Debian's Alertmanager; amtool is there too. See :mod:`prometheus_server`."""
    require_tool("amtool")
    return shutil.which("alertmanager") or require_tool("prometheus-alertmanager")


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """For a test that starts its own :class:`KafkaCluster`: java and Kafka's jars are there."""
    from kafka_cluster import classpath, gather_jars

    require_tool("java")
    if not classpath():
        if shutil.which("mvn") is None and os.environ.get("CI") != "true":
            pytest.skip("run make test, which fetches Kafka by Maven")
        require_tool("mvn")
        gather_jars()


@pytest.fixture(scope="session")
def kafka(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One real broker for all tests that only use it; a test that kills its broker starts one of its own."""
    from kafka_cluster import KafkaCluster

    with KafkaCluster(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _kafka3(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    from kafka_cluster import KafkaCluster

    with KafkaCluster(tmp_path_factory.mktemp("kafka3"), brokers=3) as cluster:
        yield cluster


@pytest.fixture
def kafka3(_kafka3: KafkaCluster) -> KafkaCluster:
    """Three real brokers, which a test may kill, pause and move; the next test finds all of them well again."""
    _kafka3.heal()
    return _kafka3


@pytest.fixture
def topic_prefix() -> str:
    """Begins the names of topics, groups and transactional ids of one test, so that tests can share brokers."""
    return f"t{uuid.uuid4().hex[:6]}-"


@pytest.fixture
def ask() -> Iterator[Callable[..., Asker]]:
    """Starts the web application over some views; all are stopped afterwards."""
    from made_views import MadeViews
    from web_client import Asker

    from monitor.web.settings import WebSettings

    started: list[Asker] = []

    def start(views: MadeViews | None = None, **settings: Any) -> Asker:
        asker = Asker(views or MadeViews(), WebSettings(**{"timezone": "Asia/Shanghai", **settings}))
        started.append(asker)
        return asker

    yield start
    for asker in started:
        asker.close()
