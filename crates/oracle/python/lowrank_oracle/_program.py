"""The program `lowrank`, which gives every verdict. Nothing is judged in Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import _safetensors


#: The shipped cases: `<id>.safetensors`, `index.json`, and the README that says what each op computes.
VECTORS = Path(__file__).resolve().parent / "vectors"


class OracleError(Exception):
    """The oracle itself cannot work: no program, an unreadable or corrupt case."""


@cache
def program() -> Path:
    """The program `lowrank`: that of the variable LOWRANK, of this wheel, or of the PATH, in this order."""
    name = "lowrank.exe" if os.name == "nt" else "lowrank"
    if chosen := os.environ.get("LOWRANK"):
        if not Path(chosen).is_file():
            raise OracleError(f"LOWRANK={chosen} is not a file")
        return Path(chosen).absolute()  # it is started from another folder; a link may be known by its name
    package = Path(__file__).resolve().parent
    # Of this environment; of `pip install --user`; of `pip install --target`.
    own, of_user = sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user")
    for path in (folder / name for folder in (Path(own), Path(of_user), package.parent / "bin")):
        if path.is_file():
            return path
    if found := shutil.which("lowrank"):
        return Path(found).absolute()
    raise OracleError("the program `lowrank` is not there: install the wheel, or set LOWRANK to its path")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs it. The exit codes are those of `lowrank check`."""
    # A path is meant from the caller's folder, and the program runs in another.
    absolute = (argument.absolute() if isinstance(argument, Path) else argument for argument in arguments)
    command = [str(program()), *map(str, absolute)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=sys.prefix)


def judge(
    folder: Path,
    path: Path,
    case: str,
    profile: str | None,
    error: str | None,
    tensors: dict[str, tuple[str, np.ndarray]],
) -> tuple[list[dict[str, Any]], str]:
    """The verdict on each tensor of one case, and the text of a failure, the diagnosis first (empty if it is none).

    The answer is written into `folder`.
    """
    metadata = {} if error is None else {"error": error}
    named = {f"out.{name}": tensor for name, tensor in tensors.items()}
    _safetensors.write(folder / f"{case}.safetensors", metadata, named)
    arguments: list[str | Path] = ["check", "--submission", folder, path]
    arguments += ["--profile", profile] if profile else []
    done = run(*arguments, "--format", "json")
    if done.returncode not in (0, 1, 3):
        raise OracleError(f"{case}: {done.stderr.strip() or f'lowrank check ended with {done.returncode}'}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    findings = [_with_numbers(line) for line in lines if "diagnosis" not in line]
    nothing = all(finding["verdict"] == "NOT_RUN" for finding in findings)
    for line in done.stderr.splitlines():
        # Where nothing is judged the verdict says so: a type that is too narrow is nothing odd.
        if line.startswith("warning: ") and not (nothing and " is not judged: " in line):
            warnings.warn(line.removeprefix("warning: "), stacklevel=6)
    if not findings:
        raise OracleError(f"{case}: lowrank check judged nothing: {done.stderr.strip()}")
    if done.returncode != 1:
        return findings, ""
    failure = next((finding["report"] for finding in findings if finding.get("report")), "FAIL")
    return findings, f"{lines[-1]['diagnosis']['text']}\n{failure}"


def _with_numbers(finding: dict[str, Any]) -> dict[str, Any]:
    """The finding with NaN and the infinities as numbers: JSON has none, so they come as text."""
    numbers = ("rho", "rho_sqrt", "got", "want", "bound")
    return finding | {name: float(finding[name]) for name in numbers if finding.get(name) is not None}
