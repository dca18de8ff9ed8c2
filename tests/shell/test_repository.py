"""What must hold of the checkout as a whole."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import monitor

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CODE = {".py", ".html", ".css", ".js"}
MADE = {".git", ".venv", ".hypothesis", "demo-data", "data", "build", "dist", "node_modules", "target"}


@cache
def texts() -> dict[str, str]:
    """Every text file of the checkout by its path; an unpacked archive has no git to ask."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
        paths = [ROOT / name for name in listed if name]
    else:
        walked = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        paths = [ROOT / p for p in walked if p.parts[0] not in MADE and not p.parts[0].endswith("_cache")]
    found = {}
    for path in sorted(paths):
        try:
            if path.is_file() and path.stat().st_size < 2_000_000:
                found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found


def lines_with(pattern: str, suffixes: set[str] | None = None) -> list[str]:
    """``file:line`` of every hit, but for this file, which has to spell the words."""
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        if name != Path(__file__).relative_to(ROOT).as_posix() and (suffixes is None or Path(name).suffix in suffixes)
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {name: text.count("\n") for name, text in texts().items() if Path(name).suffix in CODE}
    assert {n: length for n, length in lengths.items() if n.startswith("monitor/") and length > 400} == {}


def test_nothing_is_left_to_be_done_later() -> None:
    assert lines_with(r"\b(TODO|FIXME|XXX)\b", CODE | {".sh", ".md", ".toml", ".yml", ".yaml"}) == []


def test_no_path_of_a_developers_machine_is_in_the_tree() -> None:
    assert lines_with(r"(?<![\w.])/(work|root)/") == []


def test_no_package_registry_is_named_by_its_address() -> None:
    assert lines_with(r"pypi\.org|pythonhosted\.org|registry\.npmjs|repo\.maven|repo1\.maven|index-url") == []


def test_only_the_settings_read_the_environment() -> None:
    hits = lines_with(r"\bos\.environ\b|\bgetenv\b|\bBaseSettings\b", {".py"})
    assert [h for h in hits if h.startswith("monitor/") and not h.startswith("monitor/settings.py")] == []


def test_every_verb_is_documented() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "monitor", "--help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    verbs = re.findall(r"^  ([a-z][a-z-]*)", shown.split("Commands:")[1], re.MULTILINE)
    assert "run" in verbs
    documents = "\n".join(t for name, t in texts().items() if name == "README.md" or re.match(r"docs/.*\.md$", name))
    assert [v for v in verbs if not re.search(rf"(channel-monitor |`){re.escape(v)}(?![\w-])", documents)] == []


def test_the_version_is_the_same_everywhere_and_has_its_entry_in_the_changelog() -> None:
    version = PROJECT["project"]["version"]
    assert monitor.__version__ == version
    assert re.search(rf"^## \[{re.escape(version)}\]", texts()["CHANGELOG.md"], re.MULTILINE)


def test_the_license_named_is_the_license_enclosed() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert re.search(r"Apache License\s+Version 2\.0, January 2004", texts()["LICENSE"])


def pins() -> dict[str, str]:
    lines = [line for line in texts()["constraints.txt"].splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def wanted() -> list[Requirement]:
    project = PROJECT["project"]
    stated = [*project["dependencies"], *project["optional-dependencies"]["dev"], *PROJECT["build-system"]["requires"]]
    return [Requirement(text) for text in stated]


def test_constraints_pin_every_package_of_the_project_within_its_bounds() -> None:
    found = pins()
    assert [str(r) for r in wanted() if not r.specifier.contains(found.get(canonicalize_name(r.name), "0"))] == []


def test_constraints_pin_what_the_packages_need_in_turn() -> None:
    todo = [(r.name, extra) for r in wanted() for extra in (r.extras or {""})]
    seen: set[tuple[str, str]] = set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        needs = [Requirement(text) for text in importlib.metadata.requires(name) or []]
        needs = [r for r in needs if r.marker is None or r.marker.evaluate({"extra": extra})]
        todo += [(canonicalize_name(r.name), more) for r in needs for more in (r.extras or {""})]
    assert {canonicalize_name(name) for name, _ in seen} - pins().keys() == set()


@pytest.mark.parametrize("name", [".ci/run", *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("deploy/*.sh"))])
def test_a_script_is_executable_and_the_shell_can_read_it(name: str) -> None:
    script = ROOT / name
    assert os.access(script, os.X_OK)
    shell = Path(texts()[name].splitlines()[0].split("/")[-1].replace("env ", "")).name
    read = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


def test_make_help_names_every_command() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", texts()["Makefile"], re.MULTILINE)
    assert set(re.findall(r"^  make (\w+)", shown, re.MULTILINE)) == set(phony.split())
