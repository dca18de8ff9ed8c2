"""The examples in the core's docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import monitor.core


def test_examples_in_docstrings_hold() -> None:
    tried = 0
    for module in pkgutil.walk_packages(monitor.core.__path__, "monitor.core."):
        result = doctest.testmod(importlib.import_module(module.name))
        assert result.failed == 0, module.name
        tried += result.attempted
    assert tried >= 5
