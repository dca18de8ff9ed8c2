"""Setting up on machines that lack something: the cause and the remedy are named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASIC_TOOLS = [
    "sh",
    "dirname",
    "cat",
    "cksum",
    "tr",
    "id",
    "head",
    "tail",
    "sed",
    "mkdir",
    "rm",
    "sleep",
    "grep",
    "find",
]
OLD_PYTHON = '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n'
BARE_PYTHON = f'#!/bin/sh\ncase "$*" in *venv* | *virtualenv*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout with the scripts, and ``bin`` with nothing but the basic tools."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for tool in BASIC_TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def sh(machine: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine), **variables}
    shell = machine / "bin" / "sh"
    return subprocess.run([shell, *words], cwd=machine, env=environment, capture_output=True, text=True, check=False)


def put_python(machine: Path, name: str, script: str) -> None:
    file = machine / "bin" / name
    file.write_text(script, encoding="utf-8")
    file.chmod(0o755)


def test_a_python_that_is_too_old_is_named_with_its_version(machine: Path) -> None:
    put_python(machine, "python3", OLD_PYTHON)
    done = sh(machine, "deploy/setup.sh", "runtime")
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed; found: python3 (Python 3.9.2)" in done.stderr


def test_no_python_at_all_is_said(machine: Path) -> None:
    done = sh(machine, "deploy/setup.sh", "runtime")
    assert done.returncode == 1
    assert "found: none" in done.stderr


def test_a_missing_venv_module_is_named_with_its_remedy(machine: Path) -> None:
    put_python(machine, "python3", BARE_PYTHON)
    done = sh(machine, "deploy/setup.sh", "runtime")
    assert done.returncode == 1
    assert "venv and ensurepip are missing or broken" in done.stderr
    assert f"apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in done.stderr
    assert not (machine / ".venv" / "bin").exists()


def test_a_missing_program_is_named_and_fails_only_in_ci(machine: Path) -> None:
    done = sh(machine, "deploy/system-packages.sh", "maven")
    assert done.returncode == 0
    assert "maven is MISSING, the tests that need it are skipped. Remedy" in done.stderr
    assert sh(machine, "deploy/system-packages.sh", "maven", CI="true").returncode == 1


def test_only_programs_that_tests_ask_for_are_looked_for(machine: Path) -> None:
    assert sh(machine, "deploy/system-packages.sh").stderr == ""
    (machine / "tests" / "test_page.py").write_text(
        f"@pytest.mark.{'chromium'}\ndef test_page(): ...\n", encoding="utf-8"
    )
    told = sh(machine, "deploy/system-packages.sh").stderr
    assert "chromium is MISSING" in told
    assert "chinese-fonts is MISSING" in told
    assert "java" not in told
    (machine / "pom.xml").write_text("<project/>", encoding="utf-8")
    assert "java is MISSING" in sh(machine, "deploy/system-packages.sh").stderr


def test_a_program_that_is_there_is_not_mentioned(machine: Path) -> None:
    put_python(machine, "mvn", "#!/bin/sh\n")
    done = sh(machine, "deploy/system-packages.sh", "maven", CI="true")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_tool_or_set_is_wrong_use(machine: Path) -> None:
    assert sh(machine, "deploy/system-packages.sh", "abacus").returncode == 2
    assert sh(machine, "deploy/setup.sh", "everything").returncode == 2
