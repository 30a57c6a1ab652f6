"""Forward, backward, merge and unmerge: which layers."""

from math import inf, nan

from spec import Spec

RSLORA = {"scaling": "rslora"}
FAN = {"fan_in_fan_out": True}

MASK = {"mask": "random"}
LAYERS = [
    ("plain", (8, 24, 16, 4), {}, ["Plain"], {}),
    ("small", (3, 5, 4, 2), {}, ["Plain"], {"alpha": 3}),
    ("odd", (4, 12, 7, 3), {}, ["Plain"], {}),
    ("tall", (5, 6, 13, 3), {}, ["Plain"], {"alpha": 2, "s": 4}),
    ("square", (5, 8, 8, 2), {}, ["Square"], {"alpha": 7}),
    ("rank-one", (5, 9, 6, 1), {}, ["RankOne"], {"alpha": 3}),
    ("rank-above", (2, 3, 4, 5), {}, ["LargeRank"], {"alpha": 8}),
    ("rank-is-in", (3, 4, 6, 4), {}, ["LargeRank"], {"alpha": 6}),
    ("no-tokens", (0, 6, 5, 2), {}, ["NoTokens"], {}),
    ("one-token", (1, 9, 7, 3), {}, ["OneToken"], {}),
    ("in-one", (3, 1, 5, 1), {}, ["OneFeature", "RankOne"], {}),
    ("out-one", (3, 6, 1, 2), {}, ["OneFeature"], {}),
    ("all-one", (1, 1, 1, 1), {}, ["OneFeature", "OneToken", "RankOne"], {"alpha": 5, "s": 4}),
    ("fan", (3, 7, 4, 2), FAN, ["FanInFanOut"], {"alpha": 5}),
    ("fan-square", (4, 6, 6, 2), FAN, ["FanInFanOut", "Square"], {}),
    ("bias", (4, 10, 6, 3), {}, ["Bias"], {"bias": True}),
    ("bias-fan", (3, 5, 8, 2), FAN, ["Bias", "FanInFanOut"], {"bias": True, "alpha": 1, "s": 0.5}),
    ("dropout-half", (6, 12, 8, 4), {"dropout_p": 0.5}, ["DropoutMask"], MASK),
    ("dropout-quarter-kept", (5, 8, 6, 2), {"dropout_p": 0.75}, ["DropoutMask"], MASK),
    ("dropout-tenth", (6, 10, 8, 3), {"dropout_p": 0.1}, ["DropoutMask"], MASK | {"s": None}),
    ("dropout-most", (6, 12, 5, 2), {"dropout_p": 0.9}, ["DropoutMask"], MASK | {"s": None}),
    ("dropout-third", (4, 7, 9, 3), {"dropout_p": 0.3}, ["DropoutMask"], MASK | {"s": None}),
    ("dropout-bias-fan", (4, 6, 5, 2), FAN | {"dropout_p": 0.5}, ["DropoutMask", "Bias", "FanInFanOut"], MASK | {"bias": True}),
    ("dropout-zero", (4, 6, 5, 2), {"dropout_p": 0}, ["DropoutZero"], {}),
    ("dropout-all", (4, 6, 5, 2), {"dropout_p": 0.5}, ["AllDropped"], {"mask": "nothing"}),
    ("dropout-none", (4, 6, 5, 2), {"dropout_p": 0.5}, ["NoneDropped"], {"mask": "everything"}),
    ("rescale-x-up", (3, 8, 5, 2), {}, ["Rescaled"], {"shift": {"x": 7}}),
    ("rescale-a-b", (3, 8, 5, 2), {}, ["Rescaled"], {"shift": {"A": 6, "B": -6}}),
    ("rescale-b-a", (3, 8, 5, 2), {}, ["Rescaled"], {"shift": {"A": -6, "B": 6}}),
    ("rescale-w-down", (3, 8, 5, 2), {}, ["Rescaled"], {"shift": {"weight": -5, "A": -5}}),
    ("rescale-g-down", (3, 8, 5, 2), {}, ["Rescaled"], {"shift": {"grad_y": -8}}),
    ("start", (4, 8, 6, 2), {}, ["InitialState"], {"zero": "B"}),
]  # fmt: skip

LORA_LAYERS = [
    ("alpha-zero", (3, 6, 5, 2), {"alpha": 0}, ["AlphaZero"], {"alpha": 0, "s": 0}),
    ("alpha-large", (3, 4, 5, 2), {}, ["AlphaLarge"], {"alpha": 50, "s": 16}),
    ("alpha-small", (3, 4, 5, 2), {}, ["AlphaSmall"], {"alpha": 0.1, "s": 0.125}),
    ("alpha-fraction", (4, 6, 5, 3), {}, ["Plain"], {"alpha": 0.7, "s": 0.5}),
    ("default-alpha", (3, 6, 5, 4), {}, ["DefaultParams"], {"alpha": None, "s": "default"}),
    ("zero-a", (4, 8, 6, 2), {}, ["ZeroA"], {"zero": "A"}),
    ("rslora-two", (3, 6, 5, 2), RSLORA, ["RankStabilised"], {"alpha": 4, "s": None}),
    ("rslora-three", (4, 7, 5, 3), RSLORA, ["RankStabilised"], {"alpha": 2, "s": None}),
    ("rslora-four", (3, 6, 5, 4), RSLORA, ["RankStabilised"], {"alpha": 6}),
    ("rslora-eight", (3, 9, 10, 8), RSLORA, ["RankStabilised"], {"alpha": 16, "s": None}),
    ("rslora-sixteen", (2, 5, 4, 16), RSLORA, ["RankStabilised", "LargeRank"], {"alpha": 12, "s": 2}),
    ("rslora-one", (3, 6, 5, 1), RSLORA, ["RankStabilised", "RankOne"], {"alpha": 3}),
    ("rslora-bias-fan", (3, 6, 5, 4), RSLORA | FAN, ["RankStabilised", "Bias", "FanInFanOut"], {"bias": True, "alpha": 10}),
]  # fmt: skip

VERA_LAYERS = [
    ("slice-in", (3, 5, 8, 3), {}, ["MaxSlice"], {"largest": (9, 8)}),
    ("slice-out", (3, 8, 5, 3), {}, ["MaxSlice"], {"largest": (8, 11)}),
    ("slice-both", (4, 6, 5, 4), {}, ["MaxSlice"], {"largest": (10, 9)}),
    ("slice-square", (3, 4, 4, 3), {}, ["MaxSlice", "Square"], {"largest": (7, 7)}),
    ("slice-fan", (3, 5, 6, 2), FAN, ["MaxSlice", "FanInFanOut"], {"largest": (8, 8)}),
    ("slice-dropout", (5, 6, 4, 3), {"dropout_p": 0.5}, ["MaxSlice", "DropoutMask"], MASK | {"largest": (7, 6)}),
    ("rank-above-both", (2, 4, 3, 12), {}, ["LargeRank"], {}),
    ("rank-large", (2, 5, 4, 32), {}, ["LargeRank"], {}),
    ("lambda-d-small", (3, 6, 5, 4), {}, ["Rescaled"], {"shift": {"vera_lambda_d": -10}, "s": None}),
    ("lambda-b-small", (3, 6, 5, 4), {}, ["Rescaled"], {"shift": {"vera_lambda_b": -10}, "s": None}),
    ("lambda-d-quarter", (3, 6, 5, 4), {}, ["Rescaled"], {"shift": {"vera_lambda_d": -2}}),
    ("lambda-b-quarter", (3, 6, 5, 4), {}, ["Rescaled"], {"shift": {"vera_lambda_b": -2}}),
    ("lambda-d-up-b-down", (3, 6, 5, 4), {}, ["Rescaled"], {"shift": {"vera_lambda_d": 5, "vera_lambda_b": -5}}),
    ("lambda-d-zero", (3, 6, 5, 3), {}, ["ZeroA"], {"zero": "vera_lambda_d"}),
]  # fmt: skip

SPECIAL = {
    "x": ("x", (1, 2)),
    "w": ("weight", (2, 1)),
    "a": ("A", (1, 2)),
    "b": ("B", (2, 0)),
    "g": ("grad_y", (1, 3)),
    "bias": ("bias", (0, 2)),
    "lambda-d": ("vera_lambda_d", (0, 1)),
    "lambda-b": ("vera_lambda_b", (0, 2)),
}


def tensor(method, short):
    """A and B by their names in this method."""
    if method == "vera":
        return {"A": "vera_A", "B": "vera_B"}.get(short, short)
    return {"A": "lora_A", "B": "lora_B"}.get(short, short)


def with_names(method, tweaks):
    tweaks = dict(tweaks)
    if "shift" in tweaks:
        tweaks["shift"] = {tensor(method, k): v for k, v in tweaks["shift"].items()}
    if "zero" in tweaks:
        # VeRA starts with lambda_b = 0
        zero = "vera_lambda_b" if method == "vera" and tweaks["zero"] == "B" else tensor(method, tweaks["zero"])
        tweaks["zero"] = [zero]
    return tweaks


def alpha_for(params, kind, alpha, s, rank):
    """alpha itself for a bounded case; for an exact one the alpha that gives the scale s; None to leave it out."""
    if kind == "bounded" or s == "default":
        return alpha
    return s * {1: 1, 4: 2, 16: 4}[rank] if params.get("scaling") == "rslora" else s * rank


def twins(method, op, name, shape, params, flags, tweaks, alone=False):
    """bounded, exact, and both with W = 0."""
    tweaks = with_names(method, tweaks)
    alpha, s = tweaks.pop("alpha", 2 * shape[3] + 1), tweaks.pop("s", 2)
    for kind in ("bounded",) if s is None else ("bounded", "exact"):
        value = None if method == "vera" else alpha_for(params, kind, alpha, s, shape[3])
        full = params if value is None else params | {"alpha": value}
        for zero_weight in (False,) if alone else (False, True):
            extra = {"zero": tweaks.get("zero", []) + (["weight"] if zero_weight else []), "family": name}
            suffix, more = ("-w0", ["ZeroWeight"]) if zero_weight else ("", [])
            yield Spec(method, op, f"{name}-{kind}{suffix}", kind, shape, full, flags + more, **(tweaks | extra))


# Where a method computes what LoRA does, these rows are enough.
SAME_AS_LORA = (
    "plain", "small", "square", "rank-one", "rank-above", "no-tokens", "one-token", "fan", "bias-fan", "dropout-half",
    "dropout-tenth", "rescale-a-b", "start", "alpha-zero", "alpha-large", "default-alpha", "rslora-two", "rslora-four",
)  # fmt: skip


def same_as_lora(method, op):
    return method == "lora-plus" or (method in ("lora-fa", "delta-lora") and op != "backward")


def layers(method, op):
    rows = LAYERS + (VERA_LAYERS if method == "vera" else LORA_LAYERS)
    short = same_as_lora(method, op)
    for name, shape, params, flags, tweaks in rows:
        if (method == "delta-lora" and "dropout_p" in params) or (short and name not in SAME_AS_LORA):
            continue
        if op == "forward" and name == "rescale-g-down":
            continue
        yield from twins(method, op, name, shape, params, flags, tweaks)
    if method == "delta-lora" and not short:  # dropout is refused there: more plain layers instead
        for k, shape in enumerate([(6, 12, 8, 4), (5, 8, 6, 2), (4, 6, 9, 3), (7, 5, 6, 2), (2, 11, 3, 2)]):
            yield from twins(method, op, f"plain-{k + 2}", shape, {}, ["Plain"], {"alpha": 3 + k, "s": 0.5})
    yield from twins(method, op, "large", (2, 256, 256, 8), {}, ["LargeLayer"], {"s": None}, alone=True)

    # Subnormals: fp16 ones in x and W; for f32 and f64 through a tiny alpha, a power of two times r.
    subnormal = {"subnormal": ["x", "weight"], "family": "ftz"}
    yield Spec(
        method,
        op,
        "ftz-fp16",
        "acceptable",
        (3, 6, 4, 2),
        {} if method == "vera" else {"alpha": 5},
        ["FTZ"],
        **subnormal,
    )
    if method != "vera":
        for name, power in (("ftz-f32", -132), ("ftz-f64", -1060)):
            small = {
                "shift": {"x": -2, "lora_A": -2, "lora_B": -2, "grad_y": -2},
                "zero": ["weight"],
                "family": "ftz-alpha",
            }
            params = {"alpha": 2 * 2.0**power}
            yield Spec(
                method, op, name, "acceptable", (3, 6, 4, 2), params, ["FTZ", "ZeroWeight", "AlphaSmall"], **small
            )

    # NaN and infinity in each input. Integers without a zero, so that no 0 times inf hides in the reference.
    shape = (3, 5, 4, 2)
    params = {} if method == "vera" else {"alpha": 4}
    for key, (short, at) in SPECIAL.items():
        if (key.startswith("lambda") and method != "vera") or (key == "g" and op == "forward"):
            continue
        target = tensor(method, short)
        extra = {"integers": True, "bias": True, "put": [(target, at)], "family": "special"}
        for name, value in (("nan", nan), ("inf", inf), *([] if short else [("minus-inf", -inf)])):
            if value != value:
                kind, flags = "bounded", ["NaNPropagates"]
            elif key in ("w", "bias"):
                kind, flags = "bounded", ["InfPropagates"]
            else:
                kind, flags = "acceptable", ["AnyNonFinite"]
            yield Spec(method, op, f"{name}-in-{key}", kind, shape, params, flags, value=value, **extra)
    if method != "delta-lora":
        for name, value, flag in (("inf", inf, "InfTimesDropped"), ("nan", nan, "NaNTimesDropped")):
            extra = {"integers": True, "put": [("x", (1, 2))], "mask": "special", "family": "special", "value": value}
            yield Spec(method, op, f"{name}-dropped", "acceptable", shape, params | {"dropout_p": 0.5}, [flag], **extra)


def projected(op):
    """LoRA-FA v2."""
    variant = {"variant": "projected"}
    rows = [
        ("plain", (8, 24, 16, 4), {"alpha": 9}, [], {}),
        ("small", (3, 5, 4, 2), {"alpha": 3}, [], {}),
        ("odd", (4, 12, 7, 3), {"alpha": 7}, [], {}),
        ("rank-one", (5, 9, 6, 1), {"alpha": 3}, ["RankOne"], {}),
        ("rank-is-in", (6, 4, 6, 4), {"alpha": 6}, ["LargeRank"], {}),
        ("scale-half", (4, 10, 6, 4), {"alpha": 2}, ["LayerScale"], {"family": "layer-scale"}),
        ("scale-four", (4, 10, 6, 4), {"alpha": 16}, ["LayerScale"], {"family": "layer-scale"}),
        ("scale-third", (4, 10, 6, 3), {"alpha": 1}, ["LayerScale"], {"family": "layer-scale"}),
        ("rslora", (3, 9, 5, 3), RSLORA | {"alpha": 4}, ["RankStabilised"], {}),
        ("rslora-four", (3, 9, 5, 4), RSLORA | {"alpha": 4}, ["RankStabilised"], {}),
        ("default-alpha", (3, 9, 5, 4), {}, ["DefaultParams"], {}),
        ("orthogonal", (4, 12, 5, 3), {"alpha": 6}, ["OrthogonalRows"], {"orthogonal": True}),
        ("orthogonal-fan", (4, 8, 5, 2), FAN | {"alpha": 1}, ["OrthogonalRows", "FanInFanOut"], {"orthogonal": True}),
        ("rescale-a", (3, 8, 5, 2), {"alpha": 5}, ["Rescaled"], {"shift": {"lora_A": -6}}),
        ("rescale-a-up", (3, 8, 5, 2), {"alpha": 5}, ["Rescaled"], {"shift": {"lora_A": 6}}),
        ("dropout", (6, 12, 8, 3), {"alpha": 5, "dropout_p": 0.5}, ["DropoutMask"], MASK),
        ("bias-fan", (3, 7, 5, 2), FAN | {"alpha": 5}, ["Bias", "FanInFanOut"], {"bias": True}),
        ("no-tokens", (0, 6, 5, 2), {"alpha": 3}, ["NoTokens"], {}),
        ("one-token", (1, 9, 5, 3), {"alpha": 5}, ["OneToken"], {}),
        ("start", (4, 8, 6, 2), {"alpha": 5}, ["InitialState"], {"zero": ["lora_B"]}),
    ]  # fmt: skip
    for name, shape, params, flags, tweaks in rows:
        yield Spec(
            "lora-fa", op, f"projected-{name}", "residual", shape, variant | params, ["Projected", *flags], **tweaks
        )


# --- merge and unmerge ----------------------------------------------------------------------------------------------

MERGES = [
    ("plain", (0, 24, 16, 4), {}, ["Plain"], {}),
    ("small", (0, 5, 4, 2), {}, ["Plain"], {"alpha": 3}),
    ("odd", (0, 12, 7, 3), {}, ["Plain"], {"alpha": 4, "s": 0.25}),
    ("square", (0, 8, 8, 2), {}, ["Square"], {"alpha": 7}),
    ("rank-one", (0, 9, 6, 1), {}, ["RankOne"], {"alpha": 3}),
    ("rank-above", (0, 3, 4, 5), {}, ["LargeRank"], {"alpha": 8}),
    ("in-one", (0, 1, 5, 2), {}, ["OneFeature"], {}),
    ("out-one", (0, 5, 1, 2), {}, ["OneFeature"], {}),
    ("fan", (0, 7, 4, 2), FAN, ["FanInFanOut"], {"alpha": 5}),
    ("fan-square", (0, 6, 6, 3), FAN, ["FanInFanOut", "Square"], {}),
    ("rescale-w-down", (0, 8, 5, 2), {}, ["Rescaled"], {"shift": {"weight": -4}}),
    ("rescale-w-up", (0, 8, 5, 2), {}, ["Rescaled"], {"shift": {"weight": 4}}),
    ("start", (0, 8, 6, 2), {}, ["InitialState"], {"zero": "B"}),
]
LORA_MERGES = [
    ("alpha-zero", (0, 6, 5, 2), {}, ["AlphaZero"], {"alpha": 0, "s": 0}),
    ("alpha-large", (0, 6, 5, 2), {}, ["AlphaLarge"], {"alpha": 50, "s": 16}),
    ("default-alpha", (0, 6, 5, 4), {}, ["DefaultParams"], {"alpha": None, "s": "default"}),
    ("rslora-two", (0, 6, 5, 2), RSLORA, ["RankStabilised"], {"alpha": 4, "s": None}),
    ("rslora-four", (0, 6, 5, 4), RSLORA, ["RankStabilised"], {"alpha": 6}),
    ("rslora-eight", (0, 9, 10, 8), RSLORA, ["RankStabilised"], {"alpha": 16, "s": None}),
    ("rslora-fan", (0, 6, 7, 4), RSLORA | FAN, ["RankStabilised", "FanInFanOut"], {"alpha": 6}),
]
VERA_MERGES = [
    ("slice-both", (0, 6, 5, 4), {}, ["MaxSlice"], {"largest": (10, 9)}),
    ("slice-square", (0, 4, 4, 3), {}, ["MaxSlice", "Square"], {"largest": (7, 7)}),
    ("slice-fan", (0, 5, 6, 2), FAN, ["MaxSlice", "FanInFanOut"], {"largest": (8, 8)}),
    ("lambda-d-small", (0, 6, 5, 4), {}, ["Rescaled"], {"shift": {"vera_lambda_d": -10}, "s": None}),
    ("lambda-b-small", (0, 6, 5, 4), {}, ["Rescaled"], {"shift": {"vera_lambda_b": -10}, "s": None}),
]


def merges(method, op):
    for name, shape, params, flags, tweaks in MERGES + (VERA_MERGES if method == "vera" else LORA_MERGES):
        if same_as_lora(method, op) and name not in SAME_AS_LORA:
            continue
        yield from twins(method, op, name, shape, params, flags, tweaks)
    params = {} if method == "vera" else {"alpha": 4}
    for key in ("w", "a", "b", *(("lambda-d", "lambda-b") if method == "vera" else ())):
        short, at = SPECIAL[key]
        for name, value in (("nan", nan), ("inf", inf)):
            # diag(b) B has a whole row of infinities, whose sum with A has no sign; b times (B d A) has one.
            either = value == inf and key == "lambda-b"
            kind = "acceptable" if either else "bounded"
            flags = ["NaNPropagates" if value != inf else "AnyNonFinite" if either else "InfPropagates"]
            yield Spec(method, op, f"{name}-in-{key}", kind, (0, 5, 4, 2), params, flags, integers=True,
                       put=[(tensor(method, short), at)], value=value, family="special")  # fmt: skip
    if op == "unmerge":
        for k, (shape, extra) in enumerate([((0, 6, 5, 2), {}), ((0, 6, 6, 3), FAN), ((0, 4, 7, 4), {})]):
            params = extra if method == "vera" else extra | {"alpha": 2 * shape[3]}
            flags = ["RoundTrip", *(["FanInFanOut", "Square"] if extra else [])]
            yield Spec(method, op, f"round-trip-{k + 1}-exact", "exact", shape, params, flags, round_trip=True)
