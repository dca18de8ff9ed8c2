"""What tests of the whole program share."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka_cluster import KafkaCluster
from kafka_world import SEED, KafkaWorld, MakeWorld, say


@pytest.fixture
def make_world(topic_prefix: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeWorld]:
    """Makes a world on a cluster; what was started in it ends with the test."""
    made: list[KafkaWorld] = []
    started, failed = time.monotonic(), request.session.testsfailed

    def make(cluster: KafkaCluster, **settings: str) -> KafkaWorld:
        say(f"\n{request.node.name}: FAULTS_SEED={SEED}")
        made.append(KafkaWorld(cluster, topic_prefix, tmp_path, SEED, settings))
        return made[-1]

    yield make
    for world in made:
        if request.session.testsfailed > failed:
            for worker in world.workers:
                say(f"--- {worker.name}\n{worker.said(last=8_000)}")
        world.close()
        if kept := os.environ.get("FAULTS_LOGS"):
            shutil.copytree(world.folder, Path(kept) / world.folder.name, dirs_exist_ok=True)
    say(f"  took {time.monotonic() - started:.1f} s")
