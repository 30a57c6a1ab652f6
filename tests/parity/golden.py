"""What the golden-file scripts share: reproducible numbers, JSON on disk, comparison with the committed file.

The numbers come from an integer hash, not from a library's random generator, so that Rust makes the same ones:

    fmix32(h):   h ^= h >> 16;  h *= 0x85ebca6b;  h ^= h >> 13;  h *= 0xc2b2ae35;  h ^= h >> 16    (mod 2^32)
    n(stream, j) = fmix32(j + 0x9e3779b9 * (stream + 1)  mod 2^32)  mod 2001  -  1000

`n` is an integer from -1000 to 1000. `fmix32` is the finaliser of MurmurHash3 (A. Appleby, public domain).
Check values: n(0, 0..4) = 108, 77, 996, -981 and n(7, 0..4) = 177, -113, 407, -800.
"""

import importlib.metadata
import json
import re
import sys
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def grid(stream: int, count: int) -> np.ndarray:
    """n(stream, 0), ..., n(stream, count - 1) as f64 integers from -1000 to 1000."""
    h = (np.arange(count, dtype=np.uint64) + 0x9E3779B9 * (stream + 1)) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> shift)) * factor) & 0xFFFFFFFF
    h ^= h >> 16
    return (h % 2001).astype(np.float64) - 1000.0


assert grid(0, 4).tolist() == [108, 77, 996, -981] and grid(7, 4).tolist() == [177, -113, 407, -800]


def provenance(script: str, packages: list[str]) -> dict:
    """Who made a golden file. No date: the same versions must give the same file."""
    return {
        "script": f"tests/parity/{Path(script).name}",
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def shortest_f32(values) -> list:
    """Nested lists of the shortest decimals that read back as the same f32."""
    if np.ndim(values) > 0:
        return [shortest_f32(row) for row in values]
    return float(str(np.float32(values)))


def to_text(document) -> str:
    """JSON with sorted keys, and every list of numbers on one line."""
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
    text = re.sub(r"\[[-+.\deE,\s]+\]", lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text)
    assert json.loads(text) == document, "the compact form must read back as the same document"
    return text + "\n"


def leaves(value, path=""):
    """Yield (path, leaf); a list of floats is one leaf, so that its bound can follow its largest entry."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from leaves(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], (list, dict)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def is_float(leaf) -> bool:
    return isinstance(leaf, float) or (isinstance(leaf, list) and any(isinstance(item, float) for item in leaf))


def differences(committed, now, bound_of) -> list[tuple]:
    """Rows (path, largest difference, bound) of what differs. `bound_of(path)` is relative to the largest entry."""
    committed, now = dict(leaves(committed)), dict(leaves(now))
    rows = [(path, "only in one of the two", "") for path in sorted(committed.keys() ^ now.keys())]
    for path in sorted(committed.keys() & now.keys()):
        if path.startswith("provenance"):
            continue
        old, new = committed[path], now[path]
        if not (is_float(old) or is_float(new)):
            if old != new:
                rows.append((path, f"{str(old)[:40]} became {str(new)[:40]}", "equal"))
            continue
        old, new = np.atleast_1d(np.asarray(old, float)), np.atleast_1d(np.asarray(new, float))
        if old.shape != new.shape:
            rows.append((path, f"shape {old.shape} became {new.shape}", "equal"))
            continue
        bound = bound_of(path) * np.abs(old).max(initial=0.0)
        error = np.abs(old - new).max(initial=0.0)
        if not error <= bound:  # so that NaN is a difference
            rows.append((path, f"{error:.3e}", f"{bound:.3e}"))
    return rows


def report(name: str, rows: list[tuple]) -> bool:
    """Print the table of differences; true when there are none."""
    print(f"{name}: {'agrees' if not rows else f'{len(rows)} differences'}")
    for path, difference, bound in rows:
        print(f"  {path:<48} {difference:>24}   allowed {bound}")
    return not rows


def write_or_check(documents: dict[str, dict], bound_of, check: bool, out: Path) -> None:
    """Write each document to out/name, or compare it with the committed file and exit with 1 when one differs."""
    agrees = True
    for name, document in documents.items():
        path = out / name
        if check:
            if not path.exists():
                sys.exit(f"{path}: there is no committed file to compare with\n---> HINT: run without --check first")
            committed = json.loads(path.read_text())
            agrees &= report(name, differences(committed, json.loads(to_text(document)), bound_of))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(to_text(document))
            print(f"wrote {path.name} ({path.stat().st_size} bytes)")
    if not agrees:
        sys.exit(1)
