"""The page "My losses differ from step 17 on" shows what its example prints.

    python examples/differs.py FOLDER > ../../../book/src/generated/differs.txt     # writes it anew
"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lowrank_oracle
from lowrank_oracle import _program, _safetensors

pytest.importorskip("torch")

HERE = Path(__file__).resolve()
EXAMPLE = HERE.parents[1] / "examples/differs.py"
PAGE = HERE.parents[4] / "book/src/generated/differs.txt"


def rounded(text):
    """Its numbers to three digits: the last ones differ between processors."""
    number = re.compile(r"-?\d+\.\d+(e-?\d+)?|-?\d+e-?\d+")
    return number.sub(lambda found: f"{float(found[0]):.2e}", text)


def test_the_page_has_what_the_example_prints(tmp_path):
    done = subprocess.run([sys.executable, EXAMPLE, tmp_path], capture_output=True, text=True, check=True)
    assert rounded(done.stdout) == rounded(PAGE.read_text(encoding="utf-8"))
    # The claims of the page, apart from how they are printed.
    losses = [line.split() for line in done.stdout.splitlines() if re.match(r" *\d+  ", line)]
    differ = [int(step) for step, before, after in losses if before != after]
    assert differ == list(range(17, 22))
    assert "step 16, update" in done.stdout
    assert "LoRA+'s ratio not applied" in done.stdout
    assert "before is right there, after is wrong there" in done.stdout


def test_a_record_is_a_case(tmp_path):
    x, W, A, B = (np.arange(n * m, dtype=np.float32).reshape(n, m) for n, m in [(3, 4), (2, 4), (1, 4), (2, 1)])
    tensors = {"x": x, "weight": W, "lora_A": A, "lora_B": B, "dropout_mask": x > 1}
    right = x @ W.T + 8 * ((x * 2 * (x > 1)) @ A.T @ B.T)
    for name, y in [("right", right), ("wrong", right + 1)]:
        path = lowrank_oracle.record(tmp_path / name, 7, "forward", "lora", {"dropout_p": 0.5}, tensors, {"y": y})
        assert path == tmp_path / name / "7-forward.safetensors"
        assert _safetensors.read(path)[1]["in.dropout_mask"].dtype == np.uint8
    assert _program.run("follow", tmp_path / "right").returncode == 0
    wrong = _program.run("follow", tmp_path / "wrong")
    assert wrong.returncode == 1
    assert "step 7, passes" in wrong.stdout
    with pytest.raises(TypeError, match="x has dtype int64"):
        lowrank_oracle.record(tmp_path, 0, "forward", "lora", {}, {"x": np.arange(3)}, {})
