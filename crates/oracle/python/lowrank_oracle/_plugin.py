"""The plugin of pytest: at the end of a session one diagnosis for all that it has judged."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from . import _program, _session


def pytest_configure(config: Any) -> None:
    worker = getattr(config, "workerinput", None)
    _session.root = Path(worker["lowrank"] if worker else tempfile.mkdtemp(prefix="lowrank-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: all workers write into one folder."""
    node.workerinput["lowrank"] = str(_session.root)


def pytest_runtest_setup(item: Any) -> None:
    _session.known = item.get_closest_marker("xfail") is not None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    submissions = sorted(_session.root.glob("*/*")) if _session.root else []
    if not submissions:
        return
    terminalreporter.section("lowrank")
    for folder in submissions:
        profile, name = folder.parent.name, folder.name
        for line in _diagnosis(folder, None if profile == _session.BY_TYPE else profile):
            terminalreporter.write_line(line if name == "all" else f"{name}: {line}")


def pytest_unconfigure(config: Any) -> None:
    if _session.root and not hasattr(config, "workerinput"):
        shutil.rmtree(_session.root, ignore_errors=True)


def _diagnosis(folder: Path, profile: str | None) -> list[str]:
    """As the first lines of `lowrank check` have it."""
    arguments = ["--profile", profile] if profile else []
    done = _program.run("check", "--submission", folder, *arguments, "--format", "json", _program.VECTORS)
    if done.returncode not in (0, 1, 3):
        return [f"no diagnosis: {done.stderr.strip()}"]
    diagnosis = json.loads(done.stdout.splitlines()[-1])["diagnosis"]
    left = (f"  {one['cases']:>6} {one['kind']}, as in {one['example']}" for one in diagnosis["left"])
    return [diagnosis["text"], *left]
