"""Where the answers of a test session stay until it ends, so that one diagnosis can be made of all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: A folder for each submission, in a folder for each profile. Set by the plugin of pytest.
root: Path | None = None

#: Whether the test that runs is known to fail: its answer would hide what else is wrong.
known = False

#: The name of that folder where each tensor is judged by its own type.
BY_TYPE = "by type"


@contextmanager
def submission(case: str, profile: str | None, kept: bool) -> Iterator[Path]:
    """The folder to write the answer to `case` into. It stays until the session ends, if there is one and it is `kept`."""
    if root is None or known or not kept:
        with tempfile.TemporaryDirectory(prefix="lowrank-") as folder:
            yield Path(folder)
        return
    # `tests/test_mine.py::test_backward[float32-lora/backward/plain] (call)`
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    function, _, parameters = test.rpartition("::")[2].partition("[")
    others = parameters.removesuffix("]").replace(case, "").strip("-")
    # All tests of one type are one submission, unless two judge the same case.
    for name in (others, f"{function} {others}".strip()):
        folder = root / (profile or BY_TYPE) / (name.replace("/", "-") or "all")
        if not (folder / f"{case}.safetensors").exists():
            break
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
