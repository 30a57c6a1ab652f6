"""Which cases DoRA has: those of LoRA that say something of it, and its own."""

from math import inf, nan

import update_cases
from layer_cases import FAN, LAYERS, LORA_LAYERS, LORA_MERGES, MERGES, RSLORA, SAME_AS_LORA, alpha_for, with_names
from spec import Spec
from update_cases import sgd

BACKWARD = (
    *SAME_AS_LORA, "odd", "tall", "rank-is-in", "in-one", "out-one", "all-one", "fan-square", "bias",
    "dropout-quarter-kept", "dropout-most", "dropout-bias-fan", "dropout-zero", "dropout-all", "dropout-none",
    "rescale-x-up", "rescale-w-down", "rescale-g-down", "zero-a", "alpha-small", "rslora-bias-fan",
)  # fmt: skip
MERGE = (*SAME_AS_LORA, "odd", "fan-square", "rescale-w-down", "in-one", "out-one", "rslora-fan")
# W = 0 leaves nothing of V there, or nothing that other rows do not say.
NO_TWIN = (
    "start", "zero-a", "alpha-zero", "dropout-zero", "dropout-all", "dropout-none", "rescale-x-up", "rescale-a-b",
    "rescale-w-down", "rescale-g-down", "rank-is-in", "odd", "tall", "in-one", "out-one", "all-one", "default-alpha",
    "rslora-bias-fan",
)  # fmt: skip
# Where the shape of a row is too large for an exact case.
SMALLER = {"plain": (4, 12, 7, 3)}

MASK = {"dropout_p": 0.5}
DRAWN = {"mask": "random"}
SMALL = {"shift": {"weight": -20, "lora_A": -10, "lora_B": -10, "lora_magnitude_vector": -20}, "integers": True}
OWN = [
    ("rational", (4, 6, 5, 2), {}, ["RationalNorm"], {"lengths": "rational", "integers": True}, ("bounded",)),
    ("rational-fan", (3, 4, 4, 2), FAN, ["RationalNorm", "FanInFanOut", "Square"], {"lengths": "rational", "integers": True}, ("bounded",)),
    ("near-zero", (3, 5, 4, 2), {}, ["NearZeroNorm"], {"lengths": "short", "integers": True, "shift": {"lora_B": 2}}, ("bounded",)),
    ("near-zero-fan", (4, 6, 6, 3), FAN, ["NearZeroNorm", "FanInFanOut", "Square"], {"lengths": "short", "integers": True, "shift": {"lora_B": 2}, "alpha": 6}, ("bounded",)),
    ("small-norm", (3, 6, 5, 2), {}, ["SmallNorm"], SMALL, ("bounded", "exact")),
    ("small-norm-square", (3, 5, 5, 2), {}, ["SmallNorm", "Square"], SMALL, ("bounded", "exact")),
    # W far larger than s B A: V hardly changes with s, and the gradients of A and B do.
    ("rslora-wide", (1, 10, 2, 16), RSLORA, ["RankStabilised", "LargeRank"], {"alpha": 12, "shift": {"lora_A": -4}}, ("bounded",)),
    ("magnitude-negative", (4, 6, 5, 2), {}, ["MagnitudeNegative"], {"magnitude": "negative"}, ("bounded", "exact")),
    ("magnitude-zero", (4, 6, 5, 2), {}, ["MagnitudeZero"], {"magnitude": "zero"}, ("bounded", "exact")),
]  # fmt: skip
THROUGH = [
    ("through-plain", (3, 6, 5, 2), {}, [], {}),
    ("through-square", (3, 4, 4, 2), {}, ["Square"], {}),
    ("through-fan", (2, 5, 4, 1), FAN, ["FanInFanOut", "RankOne"], {}),
    ("through-dropout", (4, 6, 5, 2), MASK, ["DropoutMask"], DRAWN),
    ("through-rslora", (3, 6, 5, 4), RSLORA, ["RankStabilised"], {"alpha": 6}),
    ("through-rslora-two", (2, 5, 4, 2), RSLORA, ["RankStabilised"], {"alpha": 3, "s": None}),
]

HALF = sgd(lr=0.5)
# Rows of V have powers of two for lengths in both steps. `levels`: the largest integers with which some have.
EXACT_TRAJECTORIES = [
    ("sgd-1", (1, 4, 3, 1), {}, HALF, [], {"levels": (0,)}),
    ("sgd-2", (2, 4, 3, 2), {}, HALF, [], {"levels": (0,)}),
    ("sgd-3", (2, 5, 4, 2), {}, HALF, [], {"levels": (-1,)}),
    ("sgd-fan", (2, 4, 4, 2), FAN, HALF, ["FanInFanOut", "Square"], {"levels": (-1,)}),
    ("sgd-rslora", (1, 4, 3, 4), {"alpha": 4, **RSLORA}, HALF, ["RankStabilised"], {"levels": (-1,)}),
    ("sgd-start", (2, 4, 3, 2), {}, sgd(lr=0.25), ["InitialState"], {"levels": (0,), "zero": ["lora_B"]}),
    ("sgd-w0", (1, 4, 2, 1), {}, HALF, ["ZeroWeight"], {"levels": (1,), "zero": ["weight"], "lengths": None}),
    ("sgd-decay", (1, 4, 2, 1), {"alpha": 1}, sgd(lr=0.5, weight_decay=1), [], {"levels": (0,), "shift": {"lora_A": 1, "lora_B": 1}}),
    ("sgd-through", (2, 4, 1, 2), {"detach_norm": False}, HALF, ["NormNotDetached", "OneFeature"], {"levels": (0,)}),
]  # fmt: skip


def with_kinds(op, name, shape, params, flags, tweaks, kinds=("bounded", "exact"), pair=True):
    """Bounded, the same with W = 0, and exact."""
    tweaks = with_names("dora", tweaks)
    alpha, s = tweaks.pop("alpha", 2 * shape[3] + 1), tweaks.pop("s", 2)
    pair = pair and name not in NO_TWIN and "lengths" not in tweaks
    for kind in kinds if s is not None else ("bounded",):
        at = SMALLER.get(name, shape) if kind == "exact" and op == "backward" else shape
        value = alpha_for(params, kind, alpha, s, at[3])
        full = params if value is None else params | {"alpha": value}
        extra = {"family": name, "pair": pair and kind == "bounded"}
        if kind == "exact":
            extra["lengths"] = "power"
            extra |= {"magnitude": "length"} if name == "start" else {}
            if name == "rescale-w-down":  # so that c has few bits
                extra["shift"] = tweaks["shift"] | {"lora_magnitude_vector": tweaks["shift"]["weight"]}
        yield Spec("dora", op, f"{name}-{kind}", kind, at, full, flags, **(tweaks | extra))
        if extra["pair"]:
            extra = extra | {"zero": [*tweaks.get("zero", []), "weight"]}
            yield Spec("dora", op, f"{name}-{kind}-w0", kind, shape, full, [*flags, "ZeroWeight"], **(tweaks | extra))


def passes_and_merges():
    for op, names, rows in (
        ("forward", SAME_AS_LORA, LAYERS + LORA_LAYERS),
        ("backward", BACKWARD, LAYERS + LORA_LAYERS),
        ("merge", MERGE, MERGES + LORA_MERGES),
    ):
        for name, shape, params, flags, tweaks in rows:
            if name in names:
                yield from with_kinds(op, name, shape, params, flags, tweaks)
        for name, shape, params, flags, tweaks, kinds in OWN:
            shape = (0, *shape[1:]) if op == "merge" else shape
            yield from with_kinds(op, name, shape, params, flags, tweaks, kinds, pair=False)
        if op != "merge":
            yield from specials(op)
    for name, shape, params, flags, tweaks in THROUGH:
        params, flags = params | {"detach_norm": False}, ["NormNotDetached", *flags]
        yield from with_kinds("backward", name, shape, params, flags, tweaks)


def specials(op):
    """NaN and infinity in x, the bias and g. What is not finite in W, A, B or m has no length to divide by.

    A bias may be taken off the layer's output again: then it is in dm, and dm not finite.
    """
    for key, target, at in (("x", "x", (1, 2)), ("bias", "bias", (0, 2)), ("g", "grad_y", (1, 3))):
        if (key, op) in (("g", "forward"), ("bias", "backward")):
            continue
        for name, value in (("nan", nan), ("inf", inf)):
            flags = ["AnyNonFinite" if value == inf else "NaNPropagates"]
            yield Spec("dora", op, f"{name}-in-{key}", "acceptable" if value == inf else "bounded", (3, 5, 4, 2), {"alpha": 4},
                       flags, integers=True, bias=True, put=[(target, at)], value=value, family="special")  # fmt: skip


def updates():
    return update_cases.updates("dora")


def trajectories():
    def run(name, params, optimizer, flags, **tweaks):
        flags = ["Trajectory", *update_cases.flags_of("dora", optimizer, 0), *flags]
        params = {"alpha": 3, "steps": 3, **params, "optimizer": optimizer}
        return Spec("dora", "trajectory", f"{name}-bounded", "bounded", (4, 6, 5, 2), params, flags, **tweaks)

    for name, optimizer in update_cases.OF_TRAJECTORIES.items():
        yield run(name, {}, optimizer, [], pair=True, family=name)
        yield run(f"{name}-w0", {}, optimizer, ["ZeroWeight"], pair=True, family=name, zero=["weight"])
    for name in ("sgd", "adamw"):
        optimizer = update_cases.OF_TRAJECTORIES[name]
        yield run(f"{name}-through", {"detach_norm": False}, optimizer, ["NormNotDetached"])
        yield run(f"{name}-start", {}, optimizer, ["InitialState"], zero=["lora_B"])
    yield run("sgd-fan", FAN, sgd(lr=0.05), ["FanInFanOut"])
    yield run("sgd-rslora", RSLORA, sgd(lr=0.05), ["RankStabilised"])
    for name, shape, params, optimizer, flags, tweaks in EXACT_TRAJECTORIES:
        flags = ["Trajectory", *update_cases.flags_of("dora", optimizer, 0), *flags]
        params = {"steps": 2, "alpha": 2 * shape[3], **params, "optimizer": optimizer}
        tweaks = {"lengths": "kept", "attempts": 2000, **tweaks}
        yield Spec("dora", "trajectory", f"{name}-exact", "exact", shape, params, flags, **tweaks)


def refusals(reject):
    """Its own, beside those of every method."""
    for op in ("forward", "backward", "merge"):
        yield reject(op, "magnitude-length", "ShapeMismatch", reshape={"lora_magnitude_vector": (1, 5)})
        yield reject(op, "no-magnitude", "MissingTensor", remove=["lora_magnitude_vector"])
        yield reject(op, "row-zero", "ZeroNorm", zero=["weight", "lora_B"])
        yield reject(op, "row-cancels", "ZeroNorm", {"alpha": 4}, zero_row=True, integers=True)
    for name, params, shape in (("plain", {}, (3, 5, 4, 2)), ("square", {}, (3, 4, 4, 2)), ("fan", FAN, (3, 5, 4, 2))):
        yield reject("unmerge", f"merged-{name}", "NormLost", params, shape=shape)
