"""Adapters that change more than the projections, as PEFT 0.21 saves them, and the logits with which it loads them again,
in f64: writes folders beside it.

    python crates/methods/tests/golden/make.py        (tests/parity/requirements.txt)

Two tiny Llamas with biases in the attention: tied, where the embedding is the output matrix too, and untied. Each adapter is
moved away from its start by random multiples of 1/64, saved, and loaded on the model as it was.

Three folders are no longer as PEFT saved them: `wrapped` has an adapter's name in its keys and what torch.compile and
DistributedDataParallel put before them, `bare` lacks PEFT's prefix, and `pickled` is adapter_model.bin. `pissa_converted` is
plain LoRA, as PEFT makes it of a PiSSA adapter with path_initial_model_for_weight_conversion.
"""

import json
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import layer as lora_layer
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, modeling_rope_utils
from transformers.models.llama import modeling_llama

HERE = Path(__file__).parent
TENSORS = "adapter_model.safetensors"
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]
# By name: whether the model is tied, and the configuration.
CASES = {
    "saved": (False, {"modules_to_save": ["lm_head", "embed_tokens", "input_layernorm"]}),
    "saved_embedding": (True, {"modules_to_save": ["embed_tokens"]}),
    "saved_head": (True, {"modules_to_save": ["lm_head"]}),
    "saved_dora": (False, {"modules_to_save": ["lm_head", "norm"], "use_dora": True}),
    "head": (False, {"target_modules": ["q_proj", "lm_head"]}),
    "head_tied": (True, {"target_modules": ["q_proj", "lm_head"]}),
    "embedding": (False, {"target_modules": ["embed_tokens"], "use_rslora": True}),
    "embedding_tied": (True, {"target_modules": ["q_proj", "embed_tokens"], "rank_pattern": {"embed_tokens": 3}}),
    # PEFT gives the output matrix an adapter too, and does not name it.
    "tying": (True, {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True}),
    # The embedding beneath the adapter is another one than the model's.
    "base_tied": (True, {"target_modules": ["q_proj", "embed_tokens"]}),
    "bias_all": (False, {"bias": "all"}),
    "bias_lora_only": (False, {"bias": "lora_only"}),
    "lora_bias": (False, {"target_modules": ["q_proj", "o_proj"], "lora_bias": True}),
    # Of the decoder without its output matrix.
    "decoder": (False, {"modules_to_save": ["norm"]}),
    "wrapped": (False, {}),
    "bare": (False, {"modules_to_save": ["lm_head"]}),
    "pickled": (False, {"modules_to_save": ["lm_head"]}),
    "pissa": (False, {"init_lora_weights": "pissa", "use_rslora": True}),
    "olora": (False, {"init_lora_weights": "olora", "rank_pattern": {"down_proj": 3}, "modules_to_save": ["norm"]}),
    # Without the output matrix beneath the adapter, which PEFT saves unless it is told not to.
    "pissa_head": (False, {"init_lora_weights": "pissa", "target_modules": ["q_proj", "lm_head"]}),
    # With it: what the start left of it.
    "pissa_base": (False, {"init_lora_weights": "pissa", "target_modules": ["q_proj", "embed_tokens", "lm_head"]}),
    "pissa_converted": (False, {"init_lora_weights": "pissa"}),
    "mica": (False, {"init_lora_weights": "mica"}),
}


class Torch64:
    """`torch`, where single precision is double: transformers names torch.float32 in norms and RoPE."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def move(tensor):
    tensor.data += torch.randint(-16, 17, tensor.shape).double() / 64


def base(tied):
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=10,
        hidden_size=8,
        intermediate_size=6,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=16,
        attention_bias=True,
        tie_word_embeddings=tied,
        torch_dtype="float64",
    )
    model = LlamaForCausalLM(config).eval()
    assert all(tensor.dtype == torch.float64 for tensor in [*model.parameters(), *model.buffers()])
    for parameter in model.parameters():
        move(parameter)
    return model


def respell(folder, name):
    """The keys as a training script leaves them that saves the state of its model itself."""
    tensors = load_file(folder / TENSORS)
    if name == "wrapped":
        spell = lambda key: "module._orig_mod." + key.replace("lora_A", "lora_A.mine").replace("lora_B", "lora_B.mine")
    else:
        spell = lambda key: key.removeprefix("base_model.model.")
    save_file({spell(key): tensor for key, tensor in tensors.items()}, folder / TENSORS, {"format": "pt"})


def main():
    warnings.simplefilter("ignore")
    modeling_llama.torch = modeling_rope_utils.torch = lora_layer.torch = Torch64()
    torch.set_default_dtype(torch.float64)
    for tied in (False, True):
        base(tied).save_pretrained(HERE / ("tied" if tied else "untied"))
    for name, (tied, options) in CASES.items():
        torch.manual_seed(7)
        options = {"target_modules": ["q_proj", "down_proj"]} | options
        config = LoraConfig(r=2, lora_alpha=3, task_type="CAUSAL_LM", **options)
        part = lambda model: model.model if name == "decoder" else model
        if name == "decoder":
            config.task_type = None
        model = get_peft_model(part(base(tied)), config)
        options = {"safe_serialization": name != "pickled", "save_embedding_layers": name != "pissa_head" and "auto"}
        if name == "pissa_converted":
            start = tempfile.mkdtemp()
            model.peft_config["default"].init_lora_weights = True
            model.save_pretrained(start)
            model.peft_config["default"].init_lora_weights = "pissa"
            options["path_initial_model_for_weight_conversion"] = start
        for _, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad:
                move(parameter)
        if name == "base_tied":
            move(model.get_input_embeddings().base_layer.weight)
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder, **options)
        (folder / "README.md").unlink()
        # Loaded again, on the model as it was.
        whole = base(tied)
        loaded = PeftModel.from_pretrained(part(whole), folder).eval()
        tokens = torch.tensor([TOKENS])
        with torch.no_grad():
            logits = whole.lm_head(loaded(tokens).last_hidden_state) if name == "decoder" else loaded(tokens).logits
        (folder / "logits.json").write_text(json.dumps(logits[0].tolist()) + "\n")
        if name in ("wrapped", "bare"):
            respell(folder, name)


if __name__ == "__main__":
    # PEFT keeps target_modules in a set: its order in the file hangs on the hash seed.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    main()
