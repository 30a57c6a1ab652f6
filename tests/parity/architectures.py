"""What transformers computes in f64 on a tiny random model of each architecture that `llama` reads.

    python tests/parity/architectures.py            write crates/llama/tests/golden/architectures
    python tests/parity/architectures.py --check    compare with the committed files; exit 1 on a difference

A file holds, in f64, with the rows of the sequences one after the other,

    logits [rows, vocab]; loss [1], the mean over all next-token predictions; grad.<weight>, that of each weight

and, as JSON in its metadata key `case`, the configuration as it was given and as transformers 5 writes it, and the
sequences. There are no weights: they are seeded noise, n(stream, j) of golden.py. The stream is the tensor's place in the
sorted names, j runs row by row:

    norm weights 1 + n/2000 · embeddings and biases n/1000 · every other [out, in] matrix 2 n / 1000 / sqrt(in)

`defaults.json` has, for each architecture, a configuration of sizes alone, and what transformers makes of it.

transformers is not f64 all the way when the weights are: norms and RoPE name torch.float32. Here its own code runs with a
`torch` whose float32 is float64; the unchanged model in f32 must agree within what f32 rounds.

Needs numpy, safetensors, torch, transformers. The same versions give the same files.
"""

import argparse
import importlib
import json
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, modeling_rope_utils
from transformers.models.phi3 import modeling_phi3

from golden import GOLDEN, grid, provenance

OUT = GOLDEN.parent.parent / "crates" / "llama" / "tests" / "golden" / "architectures"

COMMON = {
    "vocab_size": 24, "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 100.0,
    "tie_word_embeddings": False, "hidden_act": "silu", "pad_token_id": None, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
# In the original context of 6 tokens the four pairs of a head of width 8 are kept, between, between and slowed down.
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 6, "beta_fast": 0.5, "beta_slow": 0.05}
CASES = {
    "llama_biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"},
    "llama_linear": {
        "model_type": "llama", "head_dim": 6, "hidden_act": "relu",
        "rope_scaling": {"type": "linear", "factor": 2.5},
    },
    "llama_yarn": {
        "model_type": "llama", "head_dim": 8, "hidden_act": "gelu_pytorch_tanh", "tie_word_embeddings": True,
        "rope_scaling": YARN | {"mscale": 1.5, "mscale_all_dim": 0.7, "truncate": False},
    },
    "llama_partial": {
        "model_type": "llama", "head_dim": 8, "partial_rotary_factor": 0.5,
        "rope_scaling": {"rope_type": "linear", "factor": 1.0},
    },
    "mistral": {"model_type": "mistral", "head_dim": 6, "sliding_window": 4, "hidden_act": "swish"},
    "ministral": {
        "model_type": "ministral", "head_dim": 4, "num_hidden_layers": 3, "sliding_window": 3,
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
    },
    "qwen2": {
        "model_type": "qwen2", "num_hidden_layers": 3, "use_sliding_window": True, "sliding_window": 3,
        "max_window_layers": 2, "tie_word_embeddings": True,
    },
    "qwen2_yarn": {"model_type": "qwen2", "hidden_size": 32, "num_hidden_layers": 1, "rope_scaling": YARN},
    "qwen3": {"model_type": "qwen3", "head_dim": 8, "tie_word_embeddings": True},
    "qwen3_biases": {
        "model_type": "qwen3", "head_dim": 8, "attention_bias": True, "use_sliding_window": True, "sliding_window": 5,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "smollm3": {
        "model_type": "smollm3", "num_hidden_layers": 3, "no_rope_layers": [1, 0, 1], "tie_word_embeddings": True,
    },
    "smollm3_biases": {
        "model_type": "smollm3", "num_hidden_layers": 3, "no_rope_layer_interval": 2, "attention_bias": True,
        "mlp_bias": True, "use_sliding_window": True, "sliding_window": 4,
    },
    "granite": {
        "model_type": "granite", "tie_word_embeddings": True, "embedding_multiplier": 3.0, "attention_multiplier": 0.2,
        "residual_multiplier": 0.6, "logits_scaling": 0.5,
    },
    "granite_biases": {"model_type": "granite", "attention_bias": True, "mlp_bias": True},
    "olmo2": {"model_type": "olmo2", "head_dim": 6},
    "olmo2_biases": {"model_type": "olmo2", "attention_bias": True, "tie_word_embeddings": True},
    # Its gelu is the approximation.
    "gemma": {"model_type": "gemma", "head_dim": 6, "hidden_size": 20, "hidden_act": "gelu", "tie_word_embeddings": True},
    # Caps that are felt by scores and logits of this size.
    "gemma2": {
        "model_type": "gemma2", "head_dim": 6, "hidden_size": 20, "num_hidden_layers": 3, "sliding_window": 4,
        "query_pre_attn_scalar": 9, "attn_logit_softcapping": 0.7, "final_logit_softcapping": 1.5,
        "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True,
    },
    "gemma2_plain": {
        "model_type": "gemma2", "head_dim": 4, "attention_bias": True, "layer_types": ["full_attention", "sliding_attention"],
        "sliding_window": 3, "attn_logit_softcapping": None, "final_logit_softcapping": None,
    },
    # The third layer sees all tokens. RoPE has another base in the two with a window, and the scaling is not for them.
    "gemma3": {
        "model_type": "gemma3_text", "head_dim": 6, "hidden_size": 20, "num_hidden_layers": 3, "sliding_window": 4,
        "sliding_window_pattern": 3, "query_pre_attn_scalar": 9, "hidden_activation": "gelu_pytorch_tanh",
        "tie_word_embeddings": True, "rope_local_base_freq": 20.0,
        "rope_scaling": {"rope_type": "linear", "factor": 4.0},
    },
    "gemma3_plain": {
        "model_type": "gemma3_text", "head_dim": 4, "attention_bias": True, "final_logit_softcapping": 1.5,
        "layer_types": ["full_attention", "sliding_attention"], "sliding_window": 3,
    },
    "phi3": {"model_type": "phi3", "hidden_size": 32, "partial_rotary_factor": 0.75, "sliding_window": 4},
    # The sequences fit the original context.
    "phi3_longrope": {
        "model_type": "phi3", "num_key_value_heads": None, "tie_word_embeddings": True, "hidden_act": "gelu",
        "original_max_position_embeddings": 16,
        "rope_scaling": {"type": "longrope", "short_factor": [1.25, 3.0], "long_factor": [2.0, 8.0]},
    },
}  # fmt: skip
# As many heads as the architectures that do not follow num_attention_heads have key and value heads.
SIZES = {"vocab_size": 24, "hidden_size": 64, "intermediate_size": 12, "num_hidden_layers": 30, "num_attention_heads": 32}
# Longer than every window and than YaRN's original context; token 5 comes twice in a row and in both sequences.
SEQUENCES = [[1, 5, 5, 23, 17, 0, 12, 8, 21, 3, 14], [9, 5, 20, 2]]


FLOAT = torch.Tensor.float


class Torch64:
    """`torch`, where single precision is double."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def build(config: dict, double: bool):
    """The model; with `double`, built and to be run with the Torch64 in its modules."""
    config = AutoConfig.for_model(**json.loads(json.dumps(config)))
    family = config.model_type.removesuffix("_text")
    modeling = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    for module in (modeling, modeling_rope_utils):
        module.torch = Torch64() if double else torch
    # transformers' Llama has no partial RoPE of its own; Phi-3's differs from it in just that.
    if config.rope_parameters.get("partial_rotary_factor", 1.0) != 1.0:
        modeling.apply_rotary_pos_emb = modeling_phi3.apply_rotary_pos_emb
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    torch.Tensor.float = torch.Tensor.double if double else FLOAT
    # PyTorch's own attention knows no cap.
    attention = "eager" if config.model_type == "gemma2" else "sdpa"
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    if double:
        assert all(tensor.dtype == torch.float64 for tensor in [*model.parameters(), *model.buffers()])
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for stream, name in enumerate(sorted(parameters)):
            parameters[name].copy_(torch.from_numpy(noise(name, stream, parameters[name].shape)))
    return model


def noise(name: str, stream: int, shape: tuple) -> np.ndarray:
    n = grid(stream, int(np.prod(shape))).reshape(shape)
    if name.endswith("bias") or "embed_tokens" in name:
        return n / 1000.0
    return 1.0 + n / 2000.0 if len(shape) == 1 else 2.0 * n / 1000.0 / np.sqrt(float(shape[1]))


def rows(model) -> torch.Tensor:
    return torch.cat([model(torch.tensor([sequence])).logits[0] for sequence in SEQUENCES])


def golden_tensors(config: dict) -> tuple[dict, dict]:
    unchanged = rows(build(config, double=False)).detach()
    model = build(config, double=True)
    logits = rows(model)
    assert logits.dtype == torch.float64
    assert torch.allclose(logits.to(torch.float32), unchanged, rtol=0, atol=2e-5), "f32 and f64 disagree"
    predicts, targets, row = [], [], 0
    for sequence in SEQUENCES:
        predicts += range(row, row + len(sequence) - 1)
        targets += sequence[1:]
        row += len(sequence)
    loss = torch.nn.functional.cross_entropy(logits[predicts], torch.tensor(targets))
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    tensors = {"logits": logits, "loss": loss.reshape(1)}
    tensors |= {f"grad.{name}": gradient for name, gradient in zip(parameters, gradients)}
    no_rope = [i for i, rope in enumerate(getattr(model.config, "no_rope_layers", [])) if not rope]
    # Without RoPE a bias of the keys moves all scores of a query together, which softmax does not see.
    nothing = {f"grad.model.layers.{layer}.self_attn.k_proj.bias" for layer in no_rope}
    for name, gradient in tensors.items():
        if name in nothing:
            assert gradient.abs().max() < 1e-15, name
            gradient.zero_()
        else:
            assert gradient.abs().max() > 1e-4, f"{name} is almost nothing: the case would prove nothing"
    model.config.architectures = [type(model).__name__]
    written = json.loads(model.config.to_json_string())
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, written


def defaults() -> dict:
    made = {}
    for kind in sorted({config["model_type"] for config in CASES.values()}):
        model_class = AutoModelForCausalLM._model_mapping[type(AutoConfig.for_model(kind))]
        for name, changes in [(kind, {}), (f"{kind}, windows", {"use_sliding_window": True})]:
            sizes = SIZES | {"model_type": kind} | changes
            config = AutoConfig.for_model(**json.loads(json.dumps(sizes)))
            config.architectures = [model_class.__name__]
            made[name] = {"config": sizes, "written": json.loads(config.to_json_string())}
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    check = parser.parse_args().check
    OUT.mkdir(exist_ok=True)
    agrees = True
    path, text = OUT / "defaults.json", json.dumps(defaults(), indent=1, sort_keys=True) + "\n"
    if check:
        agrees = path.read_text() == text
        print(f"{path.name}: {'agrees' if agrees else 'DIFFERS'}")
    else:
        path.write_text(text)
    for name, changes in CASES.items():
        config = COMMON | changes
        tensors, written = golden_tensors(config)
        path = OUT / f"{name}.safetensors"
        if check:
            committed = load_file(path)
            with safe_open(path, "pt") as file:
                same = json.loads(file.metadata()["case"])["written"] == written and committed.keys() == tensors.keys()
            for key in tensors:
                error = (committed[key] - tensors[key]).abs().max()
                same &= bool(error <= 1e-12 * committed[key].abs().max())
            print(f"{name}: {'agrees' if same else 'DIFFERS'}")
            agrees &= same
            continue
        case = {
            "config": config, "written": written, "sequences": SEQUENCES,
            "provenance": provenance(__file__, ["numpy", "safetensors", "torch", "transformers"]),
        }  # fmt: skip
        save_file(tensors, path, {"case": json.dumps(case, sort_keys=True, separators=(",", ":"))})
        print(f"{name}: {path.stat().st_size} bytes")
    if not agrees:
        sys.exit(1)


if __name__ == "__main__":
    main()
