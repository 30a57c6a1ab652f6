"""schema.json and the program have one rule: what the one refuses of a case's parameters, the other refuses too."""

import copy
import json

import jsonschema
import lowrank_oracle
import numpy as np
import pytest
from lowrank_oracle import _program, _safetensors

SCHEMA = json.loads((lowrank_oracle.VECTORS / "schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
METHODS = SCHEMA["properties"]["method"]["enum"]
NEEDED = {
    "step": {"optimizer": {"name": "adamw"}},
    "trajectory": {"optimizer": {"name": "adamw"}, "steps": 2},
    "init": {"init": "gaussian", "rank": 2, "in": 3, "out": 4, "samples": 5},
}
#: Each is put into the parameters of every method in the op; None is any op.
CHANGES = [
    *((None, {key: value}) for key, value in [("alpha", 0), ("scaling", "rslora"), ("fan_in_fan_out", True)]),
    *((None, {"dropout_p": p}) for p in (0, 0.5, 1, -0.1)),
    *((None, {key: value}) for key, value in [("lambda", 0), ("lambda", -1), ("include_scale", False), ("start_step", -1)]),
    *((None, {key: value}) for key, value in [("variant", "projected"), ("detach_norm", False), ("optimizer", {"name": "sgd"})]),
    (None, {"variant": "projected", "alpha": 0}),
    *(("step", {"start": start}) for start in (3, 2**53, 2**53 + 2)),
    *(("step", {"optimizer": {"name": name, "lr_ratio": ratio}}) for name, ratio in [("sgd", 2), ("adamw", 0)]),
    *(("step", {"optimizer": {"name": "adamw", **more}}) for more in ({"lr": -1}, {"eps": -1}, {"weight_decay": -1})),
    *(("step", {"optimizer": {"name": "adamw", "betas": betas}}) for betas in ([0, 0], [0.5, 1], [-0.1, 0.5])),
    ("step", {"optimizer": {"name": "sgd", "betas": [0.9, 0.99]}}),
    *(("trajectory", {"free": free}) for free in (True, False)),
    *(("init", {"init": name}) for name in SCHEMA["properties"]["params"]["properties"]["init"]["enum"]),
]


def case(method, op, params, kind):
    text = {"schema": "lowrank-case/1", "id": f"{method}/{op}/x", "method": method, "op": op, "class": kind, "params": params}
    return text | {"flags": ["Small"], "source": {"name": "test", "version": "1", "seed": 0}, "paper": ""}


def tensors(method, op, params):
    """All that the parameters ask for: 1 token, 3 inputs, 2 outputs, rank 1."""
    shapes = {"lora_A": (1, 3), "lora_B": (2, 1)}
    trained = ["lora_B"] if method == "lora-fa" else ["lora_A", "lora_B"]
    if method == "vera":
        shapes = {"vera_A": (1, 3), "vera_B": (2, 1), "vera_lambda_d": (1,), "vera_lambda_b": (2,)}
        trained = ["vera_lambda_d", "vera_lambda_b"]
    if method == "dora":
        shapes["lora_magnitude_vector"] = (2,)
        trained.append("lora_magnitude_vector")
    if op == "init":
        shapes = {}
    if op == "step":
        shapes |= {f"grad_{name}": shapes[name] for name in trained}
    if op != "init" and (op != "step" or method == "delta-lora"):
        shapes["weight"] = (3, 2) if params.get("fan_in_fan_out") else (2, 3)
    if op == "forward":
        shapes["x"] = (1, 3)
    for step in range(params.get("steps", 0)):
        shapes |= {f"x.{step}": (1, 3), f"grad_y.{step}": (1, 2)}
    made = {f"in.{name}": ("F64", np.ones(shape)) for name, shape in shapes.items()}
    if 0 < params.get("dropout_p", 0) < 1 and method != "delta-lora":
        made["in.dropout_mask"] = ("U8", np.ones((1, 3), np.uint8))
    return made


def refused_by_the_program(text, path):
    _safetensors.write(path, {"case": json.dumps(text)}, tensors(text["method"], text["op"], text["params"]))
    return _program.run("emit", path, "-o", path.with_name("out.safetensors")).stderr


def test_every_shipped_case_is_valid():
    for id in lowrank_oracle.ids(kind=lowrank_oracle.KINDS):
        metadata, _ = _safetensors.read(lowrank_oracle.VECTORS / f"{id}.safetensors")
        VALIDATOR.validate(json.loads(metadata["case"]))


@pytest.mark.parametrize("method", METHODS)
def test_one_rule(method, tmp_path):
    differ = []
    for only, change in CHANGES:
        op = only or "forward"
        params = copy.deepcopy(NEEDED.get(op, {}))
        if op == "init" and method == "vera":
            params["init"] = "kaiming_uniform"
        text = case(method, op, params | change, "stat" if op == "init" else "bounded")
        invalid = [error.message for error in VALIDATOR.iter_errors(text)]
        refused = refused_by_the_program(text, tmp_path / "in.safetensors")
        if bool(invalid) != bool(refused):
            differ.append((op, change, invalid, refused))
    assert not differ


def test_a_class_must_fit_its_op():
    assert VALIDATOR.is_valid(case("lora", "init", NEEDED["init"], "stat"))
    assert VALIDATOR.is_valid(case("lora", "init", NEEDED["init"], "reject"))
    assert not VALIDATOR.is_valid(case("lora", "init", NEEDED["init"], "bounded"))
    assert not VALIDATOR.is_valid(case("lora", "forward", {}, "stat"))
    assert not VALIDATOR.is_valid(case("dora", "unmerge", {}, "bounded"))
    assert VALIDATOR.is_valid(case("dora", "unmerge", {}, "reject"))
