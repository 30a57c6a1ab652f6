"""Which cases there are. A new case is a row with a new name: ids are never reused or renamed."""

import dora_cases
from layer_cases import layers, merges, projected, tensor
from spec import METHODS, Spec
from update_cases import sgd, trajectories, updates


def refusals(method):
    shape = (3, 5, 4, 2)
    alpha = {} if method == "vera" else {"alpha": 5}
    A, B = tensor(method, "A"), tensor(method, "B")

    def reject(op, name, flag, params=None, shape=shape, **tweaks):
        return Spec(method, op, name, "reject", shape, alpha | (params or {}), [flag], **tweaks)

    for op in ("forward", "backward"):
        if method == "delta-lora":
            yield reject(op, "dropout", "DropoutForbidden", {"dropout_p": 0.5}, mask="random")
            yield reject(op, "dropout-without-mask", "DropoutForbidden", {"dropout_p": 0.1})
        else:
            yield reject(op, "dropout-one", "DropoutTooLarge", {"dropout_p": 1}, mask="random")
            yield reject(op, "dropout-above-one", "DropoutTooLarge", {"dropout_p": 1.5}, mask="random")
            yield reject(op, "dropout-without-mask", "DropoutWithoutMask", {"dropout_p": 0.5})
            yield reject(
                op, "mask-shape", "ShapeMismatch", {"dropout_p": 0.5}, mask="random", reshape={"dropout_mask": (3, 4)}
            )
        yield reject(op, "x-columns", "ShapeMismatch", reshape={"x": (3, 6)})
        yield reject(op, "bias-length", "ShapeMismatch", bias=True, reshape={"bias": (1, 5)})
        yield reject(op, "b-rows", "ShapeMismatch", reshape={B: (3, 2)})
        yield reject(op, "a-columns", "ShapeMismatch", reshape={A: (2, 4)})
        if method == "vera":
            yield reject(op, "lambda-d-longer-than-a", "ShapeMismatch", reshape={"vera_lambda_d": (1, 3)})
            yield reject(op, "lambda-b-length", "ShapeMismatch", reshape={"vera_lambda_b": (1, 5)})
        else:
            yield reject(op, "ranks-differ", "ShapeMismatch", reshape={B: (4, 3)})
        yield reject(op, "no-b", "MissingTensor", remove=[B])
        yield reject(op, "fan-forgotten", "ShapeMismatch", reshape={"weight": (5, 4)})
    yield reject("backward", "g-tokens", "ShapeMismatch", reshape={"grad_y": (2, 4)})
    yield reject("backward", "g-columns", "ShapeMismatch", reshape={"grad_y": (3, 5)})
    yield reject("backward", "no-g", "MissingTensor", remove=["grad_y"])
    if method == "dora":
        yield from dora_cases.refusals(reject)
    for op in ("merge",) if method == "dora" else ("merge", "unmerge"):
        yield reject(op, "b-rows", "ShapeMismatch", reshape={B: (3, 2)})
        yield reject(op, "a-columns", "ShapeMismatch", reshape={A: (2, 4)})
        yield reject(op, "no-weight", "MissingTensor", remove=["weight"])
    last = "vera_lambda_b" if method == "vera" else "lora_B"
    plain = {"optimizer": sgd(lr=0.1)}
    yield reject(
        "step", "g-shape", "ShapeMismatch", plain, reshape={f"grad_{last}": (1, 3) if method == "vera" else (3, 2)}
    )
    yield reject("step", "no-g", "MissingTensor", plain, remove=[f"grad_{last}"])
    if method == "lora-fa":
        for op, extra in (("backward", {}), ("step", plain)):
            variant = extra | {"variant": "projected"}
            yield reject(op, "projected-rank-above-in", "RankAboveIn", variant, shape=(3, 3, 4, 5))
            yield reject(op, "projected-alpha-zero", "ZeroScale", variant | {"alpha": 0})
            # The pivot is exactly 0 in every precision: rows of +-1 with squared norms 4, 4 and 8, or 16.
            for name, rows in DEPENDENT.items():
                at = (3, len(rows[0]), 4, len(rows))
                yield reject(op, f"projected-{name}", "RankDeficient", variant, shape=at, rows=rows)


DEPENDENT = {
    "row-twice": [[1, -1, 1, 1], [1, -1, 1, 1]],
    "row-negated": [[1, 1, -1, 1], [-1, -1, 1, -1]],
    "row-zero": [[1, 1, 1, -1], [0, 0, 0, 0]],
    "row-sum": [[1, 1, 1, 1], [1, -1, 1, -1], [2, 0, 2, 0]],
}


def inits(method):
    sizes = [("tall", 4, 24, 96), ("wide", 8, 96, 24), ("square", 16, 64, 64)]
    names = ("kaiming_uniform", "kaiming_normal") if method == "vera" else ("kaiming_uniform_a5", "gaussian")
    for init in names:
        for label, rank, inner, outer in sizes:
            smaller = rank * min(inner, outer)
            params = {"init": init, "rank": rank, "in": inner, "out": outer, "samples": -(-40000 // smaller)}
            name = f"{init.replace('_', '-')}-{label}"
            yield Spec(method, "init", name, "stat", (0, inner, outer, rank), params, ["Statistics"])
    # As many draws of A as tell a normal law of the same variance from a uniform one by its fourth moment.
    for label, rank, inner in (("long", 64, 256), ("longer", 32, 512), ("even", 128, 128)):
        params = {"init": names[0], "rank": rank, "in": inner, "out": 16, "samples": 40}
        name = f"{names[0].replace('_', '-')}-{label}"
        yield Spec(method, "init", name, "stat", (0, inner, 16, rank), params, ["Statistics"])


def all_specs():
    for method in METHODS:
        if method == "dora":
            yield from dora_cases.passes_and_merges()
            yield from dora_cases.updates()
            yield from dora_cases.trajectories()
            yield from inits(method)
            yield from refusals(method)
            continue
        for op in ("forward", "backward"):
            yield from layers(method, op)
        if method == "lora-fa":
            yield from projected("backward")
        for op in ("merge", "unmerge"):
            yield from merges(method, op)
        yield from updates(method)
        yield from trajectories(method)
        yield from inits(method)
        yield from refusals(method)
