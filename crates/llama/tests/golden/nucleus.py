"""What transformers leaves of a distribution when it samples with temperature and top_p.

    python crates/llama/tests/golden/nucleus.py

writes nucleus.json beside itself: logits, temperature, top_p, and the probabilities that `TemperatureLogitsWarper` and
`TopPLogitsWarper` leave, in f64. Needs torch and transformers. The same versions give the same file.
"""

import importlib.metadata
import json
from pathlib import Path

import torch
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

HERE = Path(__file__).resolve().parent
LOGITS = [
    [2.0, 1.0, 0.5, -1.0, -3.0],
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    [7.0, -2.0, 6.5, 6.9, 0.0],
    [-40.0, 3.0, -41.0],
]


def main() -> None:
    cases = []
    for logits in LOGITS:
        for temperature in [0.7, 1.0, 1.5]:
            for top_p in [0.0, 0.3, 0.6, 0.9, 0.95]:
                scores = torch.tensor([logits], dtype=torch.float64)
                scores = TemperatureLogitsWarper(temperature)(None, scores)
                scores = TopPLogitsWarper(top_p)(None, scores)
                probabilities = scores.softmax(-1)[0].tolist()
                cases.append(
                    {"logits": logits, "temperature": temperature, "top_p": top_p, "probabilities": probabilities}
                )
    versions = {name: importlib.metadata.version(name) for name in ["torch", "transformers"]}
    document = {
        "provenance": {"script": "crates/llama/tests/golden/nucleus.py", "versions": versions},
        "cases": cases,
    }
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, allow_nan=False)
    (HERE / "nucleus.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
