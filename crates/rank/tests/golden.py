"""Singular values of the 12 x 12 Hilbert matrix, rounded to f64 entries, in 60 digits: writes golden.json beside it.

    python crates/rank/tests/golden.py        (needs mpmath)
"""

import json
from pathlib import Path

from mpmath import matrix, mp, mpf, svd_r

mp.dps = 60
hilbert = matrix(12, 12)
for i in range(12):
    for j in range(12):
        hilbert[i, j] = mpf(1.0 / (i + j + 1))
values = svd_r(hilbert, compute_uv=False)
golden = {"hilbert12": [float(value) for value in values], "script": "crates/rank/tests/golden.py"}
Path(__file__).with_name("golden.json").write_text(json.dumps(golden, indent=1) + "\n")
