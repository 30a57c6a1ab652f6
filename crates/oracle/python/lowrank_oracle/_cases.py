"""Which cases there are, and how pytest runs a test on each."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from ._case import Case, Mismatch
from ._program import VECTORS

METHODS = ("lora", "lora-fa", "vera", "delta-lora", "lora-plus", "dora")
OPS = ("forward", "backward", "step", "trajectory", "merge", "unmerge", "init")
KINDS = ("exact", "bounded", "residual", "acceptable", "stat", "reject")

Test = TypeVar("Test", bound=Callable[..., Any])
Names = str | Iterable[str] | None


@cache
def _index() -> dict[str, dict[str, Any]]:
    entries = json.loads((VECTORS / "index.json").read_text(encoding="utf-8"))["cases"]
    return {entry["id"]: entry for entry in entries}


def _chosen(what: str, names: Names, known: Iterable[str]) -> set[str]:
    known = set(known)
    chosen = known if names is None else {names} if isinstance(names, str) else set(names)
    if unknown := sorted(chosen - known):
        raise ValueError(f"unknown {what} {', '.join(unknown)}: there are {', '.join(sorted(known))}")
    return chosen


def ids(method: Names = None, op: Names = None, *, kind: Names = None, only: Names = None, without: Names = ()) -> list[str]:
    """The ids of all cases of these methods and ops, sorted.

    `kind` names classes; without it, all but `reject`, whose right answer is an error. `only` and `without` name flags: a
    case needs one of `only`, if given, and none of `without`. Raises ValueError if a name is unknown, or no case is left.
    """
    methods, ops = _chosen("method", method, METHODS), _chosen("op", op, OPS)
    kinds = _chosen("kind", kind, KINDS) if kind is not None else set(KINDS) - {"reject"}
    flags = {flag for entry in _index().values() for flag in entry["flags"]}
    wanted, unwanted = _chosen("flag", only, flags), _chosen("flag", without, flags)
    found = []
    for name, entry in _index().items():
        of_method, of_op, _ = name.split("/")
        has = set(entry["flags"])
        if of_method in methods and of_op in ops and entry["class"] in kinds:
            if (only is None or has & wanted) and not has & unwanted:
                found.append(name)
    if not found:
        raise ValueError(f"no case of {method or 'any method'}, {op or 'any op'} is left: nothing would be judged")
    return sorted(found)


def load(id: str) -> Case:
    """The case of this id. Raises KeyError if there is none."""
    if id not in _index():
        raise KeyError(f"no case {id}: lowrank_oracle.ids() lists them")
    return Case(VECTORS / f"{id}.safetensors", _index()[id]["digest"])


def expected_failures(path: str | Path) -> dict[str, str]:
    """Reads a file of known failures, `<id> <reason>` a line; `#` begins a comment.

    Raises ValueError, with the line, for an unknown or repeated id or a missing reason.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        name, _, reason = line.partition("#")[0].strip().partition(" ")
        if not name:
            continue
        where = f"{path}:{number}"
        if name not in _index():
            raise ValueError(f"{where}: no case {name}")
        if name in found:
            raise ValueError(f"{where}: {name} is listed twice")
        if not reason.strip():
            raise ValueError(f"{where}: {name} has no reason")
        found[name] = reason.strip()
    return found


def cases(
    method: Names = None,
    op: Names = None,
    *,
    kind: Names = None,
    only: Names = None,
    without: Names = (),
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Test], Test]:
    """Runs a pytest test once for each case that `ids` finds; the test's argument `case` is the `Case`.

    A test that returns without having the case judged fails. A case in `expected_failures` must fail with a Mismatch: that
    it passes is a failure, so that the list stays true. A case about which the type can say nothing is skipped.
    """
    names = ids(method, op, kind=kind, only=only, without=without)
    failures = dict(expected_failures or {})
    if unknown := sorted(set(failures) - set(_index())):
        raise ValueError(f"expected_failures: no case {', '.join(unknown)}")

    def decorate(test: Test) -> Test:
        import pytest

        if "case" not in inspect.signature(test).parameters:
            raise TypeError(f"{test.__qualname__} needs an argument named `case`")

        @functools.wraps(test)
        def judged(*args: Any, case: str, **kwargs: Any) -> None:
            __tracebackhide__ = True
            loaded = load(case)
            loaded._kept = True
            test(*args, case=loaded, **kwargs)
            if loaded.verdict is None:
                raise RuntimeError(f"{case} was not judged: call case.check(…), check_error(…) or rejects()")
            if loaded.verdict == "FAIL":
                raise RuntimeError(f"{case} failed, and the test caught the Mismatch")
            if loaded.verdict == "NOT_RUN":
                pytest.skip(f"{case}: the bound is infinite in this type")

        def parameter(name: str) -> Any:
            if name not in failures:
                return pytest.param(name, id=name)
            mark = pytest.mark.xfail(reason=failures[name], strict=True, raises=Mismatch)
            return pytest.param(name, id=name, marks=mark)

        return cast(Test, pytest.mark.parametrize("case", [parameter(name) for name in names])(judged))

    return decorate
