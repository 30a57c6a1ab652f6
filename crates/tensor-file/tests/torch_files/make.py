"""Files that torch.save writes, and some that it should not: writes *.bin beside it.

    python crates/tensor-file/tests/torch_files/make.py        (tests/parity/requirements.txt)

Numbers are multiples of 1/4, exact in every type. mod.rs says what each file must give.
"""

import os
import zipfile
from pathlib import Path

import torch

HERE = Path(__file__).parent


class Call:
    """What a malicious pickle does: it calls something when it is loaded."""

    def __reduce__(self):
        return os.system, ("true",)


def numbers(*shape, dtype=torch.float32):
    count = torch.Size(shape).numel()
    return ((torch.arange(count) - 2) / 4).reshape(shape).to(dtype)


def compressed(path):
    with zipfile.ZipFile(path) as old:
        records = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, contents in records.items():
            # A date of its own, so that the same bytes come out.
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, contents)


def main():
    block = numbers(4, 3)
    state = torch.nn.Linear(2, 3).state_dict()
    state["weight"], state["bias"] = numbers(3, 2), numbers(3)
    files = {
        "plain": {
            "f64": numbers(2, 3, dtype=torch.float64),
            "f32": numbers(2, 3),
            "f16": numbers(3, dtype=torch.float16),
            "bf16": numbers(1, 3, dtype=torch.bfloat16),
            "i64": torch.arange(3),
            "scalar": numbers(),
            "none": numbers(0, 3),
            "rows": block[1:3],
            "large_index": numbers(300)[260:],
        },
        # An OrderedDict with attributes.
        "state_dict": state,
        "transposed": {"a": numbers(2, 3).T},
        "shared": {"a": block, "b": block[1:3]},
        "call": {"a": numbers(2), "b": Call()},
        "number": {"a": numbers(2), "step": 3},
        "list": [numbers(2)],
        "complex": {"a": numbers(2).to(torch.complex64)},
    }
    for name, contents in files.items():
        torch.save(contents, HERE / f"{name}.bin")
    torch.save(files["plain"], HERE / "old.bin", _use_new_zipfile_serialization=False)
    torch.save({"a": numbers(2)}, HERE / "protocol.bin", pickle_protocol=4)
    torch.save({"a": numbers(2)}, HERE / "compressed.bin")
    compressed(HERE / "compressed.bin")


if __name__ == "__main__":
    main()
