"""`step` and `trajectory`: which updates."""

from math import inf, nan

from layer_cases import FAN, RSLORA
from layer import TRAINED
from spec import Spec


def sgd(**settings):
    return {"name": "sgd", **settings}


def torch(**settings):
    return {"name": "adamw", "variant": "torch", **settings}


def hf(**settings):
    return {"name": "adamw", "variant": "hf", **settings}


def flags_of(method, optimizer, start):
    """What the optimizer's own settings say."""
    adam = optimizer["name"] == "adamw"
    flags = [{"torch": "AdamWTorch", "hf": "AdamWHf"}[optimizer.get("variant", "torch")] if adam else "SGD"]
    flags += ["WeightDecay"] if optimizer.get("weight_decay", 0) > 0 else []
    if adam or start > 0:
        flags += ["LaterUpdate" if start > 0 else "FirstUpdate"]
    if method == "lora-plus":
        ratio = optimizer.get("lr_ratio")
        flags += ["DefaultRatio" if ratio is None else "EqualRates" if ratio == 1 else "RateRatio"]
    return flags


# name, optimizer, updates already taken, flags, tweaks; the last column: also from p = 0
STEPS = [
    ("sgd", sgd(lr=0.1), 0, [], {}, True),
    ("sgd-decay", sgd(lr=0.05, weight_decay=0.1), 0, [], {}, True),
    ("sgd-defaults", sgd(), 0, ["DefaultParams"], {}, True),
    ("sgd-later", sgd(lr=0.02, weight_decay=0.01), 6, [], {}, True),
    ("sgd-zero-gradient", sgd(lr=0.1, weight_decay=0.1), 0, ["ZeroGradient"], {"no_gradient": True}, False),
    ("adamw-first", torch(lr=0.01), 0, [], {}, True),
    ("adamw-defaults", {"name": "adamw"}, 0, ["DefaultParams"], {}, True),
    ("adamw-first-decay", torch(lr=0.02, weight_decay=0.1), 0, [], {}, False),
    ("adamw-later", torch(lr=0.01, betas=[0.9, 0.99]), 4, [], {}, True),
    ("adamw-later-decay", torch(lr=0.01, weight_decay=0.3), 99, [], {}, False),
    ("adamw-large-eps", torch(lr=0.01, eps=0.5), 1, ["LargeEps"], {}, True),
    ("adamw-zero-gradient", torch(lr=0.01, weight_decay=0.1), 2, ["ZeroGradient"], {"no_gradient": True}, False),
    ("adamw-all-zero", torch(lr=0.01), 0, ["ZeroGradient"], {"no_gradient": True}, False),
    ("adamw-hf-first", hf(lr=0.01, eps=1e-6), 0, [], {}, True),
    ("adamw-hf-first-decay", hf(lr=0.02, weight_decay=0.1), 0, [], {}, False),
    ("adamw-hf-later", hf(lr=0.01, betas=[0.9, 0.99], weight_decay=0.1), 4, [], {}, True),
    ("adamw-hf-large-eps", hf(lr=0.01, eps=0.5), 1, ["LargeEps"], {}, True),
]
# `sizes` k: every gradient is 2^k, -2^k or 0. eps = |g|, with hf |g| / 2.
SHORT = {"betas": [0.5, 0.75]}
EXACT_STEPS = [
    ("sgd", sgd(lr=0.5), 0, [], {}),
    ("sgd-decay", sgd(lr=0.5, weight_decay=0.5), 0, [], {}),
    ("sgd-large", sgd(lr=2), 0, [], {}),
    ("sgd-later", sgd(lr=1, weight_decay=0.25), 6, [], {}),
    ("adamw", torch(lr=0.5, eps=2, **SHORT), 0, ["LargeEps"], {"sizes": 1}),
    ("adamw-decay", torch(lr=1, eps=0.125, weight_decay=0.25, **SHORT), 0, ["LargeEps"], {"sizes": -3}),
    ("adamw-hf", hf(lr=0.5, eps=2, **SHORT), 0, ["LargeEps"], {"sizes": 2}),
    ("adamw-hf-decay", hf(lr=1, eps=0.125, weight_decay=0.25, **SHORT), 0, ["LargeEps"], {"sizes": -2}),
]
SHAPE, SMALL = (0, 8, 6, 3), (0, 5, 4, 2)
EXACT = {
    "lora": {"alpha": 4},
    "lora-fa": {"alpha": 4},
    "vera": {},
    "delta-lora": {"alpha": 4, "lambda": 2},
    "lora-plus": {"alpha": 4},
    "dora": {"alpha": 4},
}


def one(method, name, kind, shape, params, optimizer, start=0, flags=(), tweaks=None, ratio=4, twin=True):
    """One update, and the same from p = 0."""
    if method == "lora-plus" and ratio is not None:
        optimizer = optimizer | {"lr_ratio": ratio}
    params = params | {"optimizer": optimizer} | ({"start": start} if start else {})
    flags = [*flags_of(method, optimizer, start), *flags]
    tweaks = {"moments": start > 0 and optimizer["name"] == "adamw", "family": name} | (tweaks or {})
    yield Spec(method, "step", f"{name}-{kind}", kind, shape, params, flags, **tweaks)
    if twin:
        zeros, flags = [*tweaks.get("zero", []), *TRAINED[method]], [*flags, "ZeroParameter"]
        if method == "delta-lora":  # B A = 0 there, and W = 0 leaves B+ A+ alone
            zeros, flags = [*zeros, "weight"], [*flags, "ZeroWeight"]
        yield Spec(method, "step", f"{name}-{kind}-p0", kind, shape, params, flags, **(tweaks | {"zero": zeros}))


def updates(method):
    """Every case of `step`."""
    delta = method == "delta-lora"
    params = ({} if method == "vera" else {"alpha": 7}) | ({"lambda": 0.5} if delta else {})
    for name, optimizer, start, flags, tweaks, twin in STEPS:
        flags = flags + (["Lambda"] if delta else [])
        yield from one(method, name, "bounded", SHAPE, params, optimizer, start, flags, tweaks, twin=twin)
        if method == "dora":
            continue
        yield from one(
            method, f"{name}-b", "bounded", SMALL, params, optimizer, start, flags, tweaks, ratio=16, twin=False
        )
    for name, optimizer, start, flags, tweaks in EXACT_STEPS:
        yield from one(method, name, "exact", SMALL, EXACT[method], optimizer, start, flags, tweaks, ratio=2)
        yield from one(
            method, f"{name}-b", "exact", (0, 3, 7, 2), EXACT[method], optimizer, start, flags, tweaks, ratio=0.5
        )
    if method == "lora-plus":
        yield from ratios()
    if delta:
        yield from moves()
    if method == "lora-fa":
        yield from projections()
    yield from specials(method)


def ratios():
    """LoRA+: equal rates, the default ratio, a large one."""
    rates = {"lr": 0.01, "weight_decay": 0.1}
    for name, ratio in (("one", 1), ("default", None), ("large", 80)):
        for label, optimizer in (("sgd", sgd(**rates)), ("adamw", torch(**rates)), ("hf", hf(**rates))):
            yield from one("lora-plus", f"ratio-{name}-{label}", "bounded", SHAPE, {"alpha": 7}, optimizer, ratio=ratio)
        if ratio != 80:  # no power of two
            for label, optimizer in (("sgd", sgd(lr=0.25)), ("sgd-decay", sgd(lr=0.125, weight_decay=0.25))):
                yield from one(
                    "lora-plus", f"ratio-{name}-{label}", "exact", SMALL, {"alpha": 4}, optimizer, ratio=ratio
                )


def moves():
    """Delta-LoRA: when W moves, and by how much."""
    unscaled = {"include_scale": False}
    for name, start, start_step, flag in (("before", 2, 5, "BeforeStart"), ("at", 4, 5, "AtStart"), ("first-move", 5, 5, "FirstMove"), ("after", 8, 5, "AfterStart")):  # fmt: skip
        late, more = {"alpha": 5, "start_step": start_step}, [flag, "NoScaleInMove", "Lambda"]
        for label, optimizer in (("sgd", sgd(lr=0.1, weight_decay=0.1)), ("adamw", torch(lr=0.02, weight_decay=0.1))):
            yield from one("delta-lora", f"{name}-{label}", "bounded", SHAPE, late, optimizer, start, [flag])
            params = late | unscaled | {"lambda": 3}
            yield from one("delta-lora", f"{name}-{label}-unscaled", "bounded", SMALL, params, optimizer, start, more)
        late = late | {"alpha": 4}
        yield from one("delta-lora", f"{name}-sgd", "exact", SMALL, late, sgd(lr=1), start, [flag])
        params = late | unscaled | {"lambda": 0.5}
        yield from one("delta-lora", f"{name}-sgd-unscaled", "exact", SMALL, params, sgd(lr=1), start, more)
    for name, shape, params, flag in (
        ("fan", (0, 4, 4, 2), FAN | {"alpha": 4}, "FanInFanOut"),
        ("rslora-four", (0, 6, 5, 4), RSLORA | {"alpha": 4}, "RankStabilised"),
        ("rslora-two", SMALL, RSLORA | {"alpha": 3}, "RankStabilised"),
        ("lambda-zero", SMALL, {"alpha": 4, "lambda": 0}, "Lambda"),
        ("rank-above", (0, 3, 2, 4), {"alpha": 10}, "LargeRank"),
    ):
        yield from one("delta-lora", f"{name}-sgd", "bounded", shape, params, sgd(lr=0.1), 0, ["FirstMove", flag])
        yield from one("delta-lora", f"{name}-adamw", "bounded", shape, params, torch(lr=0.1), 3, ["AfterStart", flag])
        if name in ("fan", "rslora-four"):
            yield from one("delta-lora", f"{name}-sgd", "exact", shape, params, sgd(lr=1), 0, ["FirstMove", flag])


def projections():
    """LoRA-FA v2: layers of different alpha / r under one optimizer."""
    projected = {"variant": "projected"}
    optimizers = (("sgd", sgd(lr=0.1, weight_decay=0.1), []), ("adamw", torch(lr=0.01, eps=0.1), ["LargeEps"]),
                  ("hf", hf(lr=0.01, eps=1e-6, weight_decay=0.1), []))  # fmt: skip
    for layer, alpha, r in (("half", 2, 4), ("four", 16, 4), ("third", 1, 3)):
        for label, optimizer, more in optimizers:
            for start in (0, 3):
                params, flags = projected | {"alpha": alpha}, ["Projected", "LayerScale", *more]
                yield from one(
                    "lora-fa",
                    f"projected-{layer}-{label}-{start}",
                    "bounded",
                    (0, 9, 5, r),
                    params,
                    optimizer,
                    start,
                    flags,
                )
    for label, optimizer, more in (("sgd", sgd(lr=0.1), []), ("adamw", torch(lr=0.01, eps=0.1), ["LargeEps"])):
        params, tweaks = projected | {"alpha": 6}, {"orthogonal": True}
        yield from one("lora-fa", f"projected-orthogonal-{label}", "bounded", (0, 12, 5, 3), params, optimizer, 0, ["Projected", "OrthogonalRows", *more], tweaks)  # fmt: skip
        yield from one("lora-fa", f"projected-rslora-{label}", "bounded", (0, 9, 5, 3), params | RSLORA, optimizer, 0, ["Projected", "RankStabilised", *more])  # fmt: skip


def specials(method):
    """NaN and infinity in a parameter and in a gradient; moves in the subnormal range."""
    last = "lora_B" if method == "dora" else TRAINED[method][-1]  # m must be finite
    at = (0, 1) if method == "vera" else (2, 1)
    for name, value in (("nan", nan), ("inf", inf)):
        for key, target in (("p", last), ("g", f"grad_{last}")):
            for label, optimizer in (("sgd", sgd(lr=0.5)), ("adamw", torch(lr=0.5))):
                # An infinite p may meet a decay of 0, Delta-LoRA's products opposite infinities.
                either = value == inf and (key == "p" or method == "delta-lora")
                flags = ["NaNPropagates" if value != inf else "InfPropagates"] + (["AnyNonFinite"] if either else [])
                tweaks = {"integers": True, "put": [(target, at)], "value": value}
                kind = "acceptable" if either else "bounded"
                yield from one(
                    method,
                    f"{name}-in-{key}-{label}",
                    kind,
                    SMALL,
                    EXACT[method],
                    optimizer,
                    0,
                    flags,
                    tweaks,
                    twin=False,
                )
    for name, power in (("ftz-f32", -130), ("ftz-f64", -1062)):
        params = {"alpha": 4, "start_step": 9} if method == "delta-lora" else EXACT[method]
        tweaks = {"zero": list(TRAINED[method]), "shift": {f"grad_{p}": -3 for p in TRAINED[method]}}
        flags = ["FTZ", "ZeroParameter"]
        yield from one(
            method, name, "acceptable", SMALL, params, sgd(lr=2.0**power), 0, flags, tweaks, ratio=1, twin=False
        )


OF_TRAJECTORIES = {
    "sgd": sgd(lr=0.05),
    "sgd-decay": sgd(lr=0.02, weight_decay=0.1),
    "adamw": torch(lr=0.02, betas=[0.9, 0.99], eps=1e-4),
    "adamw-decay": torch(lr=0.02, weight_decay=0.1),
    "hf": hf(lr=0.02, eps=1e-4, weight_decay=0.1),
}


def trajectories(method):
    """Every case of `trajectory`."""
    vera, delta = method == "vera", method == "delta-lora"
    start = "vera_lambda_b" if vera else "lora_B"
    variants = [
        ("", {}, [], {}),
        ("-start", {}, ["InitialState"], {"zero": [start]}),
        ("-w0", {}, ["ZeroWeight"], {"zero": ["weight"]}),
    ]
    if delta:
        variants += [("-late", {"start_step": 2}, ["BeforeStart", "AtStart", "FirstMove"], {}), ("-unscaled", {"include_scale": False}, ["NoScaleInMove"], {})]  # fmt: skip
    if method == "lora-fa":
        projected = {"variant": "projected"}
        variants += [("-projected", projected, ["Projected"], {}), ("-projected-scale", projected | {"alpha": 8}, ["Projected", "LayerScale"], {})]  # fmt: skip
    if vera:
        variants += [("-slice", {}, ["MaxSlice"], {"largest": (8, 7)})]
    once = [("-fan", FAN, ["FanInFanOut"], {})] + ([] if vera else [("-rslora", RSLORA, ["RankStabilised"], {})])

    def run(name, kind, shape, params, optimizer, ratio, flags, tweaks):
        optimizer = optimizer | ({"lr_ratio": ratio} if method == "lora-plus" else {})
        flags = ["Trajectory", *flags_of(method, optimizer, 0), *flags]
        return Spec(method, "trajectory", name, kind, shape, params | {"optimizer": optimizer}, flags, **tweaks)

    alpha = {} if vera else {"alpha": 3}
    for name, optimizer in OF_TRAJECTORIES.items():
        for suffix, params, flags, tweaks in variants + (once if name == "sgd" else []):
            params = alpha | {"steps": 4} | params
            yield run(f"{name}{suffix}-bounded", "bounded", (4, 6, 5, 2), params, optimizer, 4, flags, tweaks)
        if name == "adamw":
            yield run(f"{name}-long-bounded", "bounded", (3, 5, 4, 2), alpha | {"steps": 24}, optimizer, 4, [], {})
    for k, shape in enumerate([(1, 3, 2, 1), (1, 2, 3, 2), (2, 3, 3, 1)]):
        params = {"steps": 2} | ({} if vera else {"alpha": 2 * shape[3]}) | ({"lambda": 1} if delta else {})
        yield run(f"sgd-{k + 1}-exact", "exact", shape, params, sgd(lr=0.5), 2, ["Lambda"] if delta else [], {})
