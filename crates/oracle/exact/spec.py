"""What a case is before its numbers are drawn, and what every flag means."""

import hashlib

METHODS = ("lora", "lora-fa", "vera", "delta-lora", "lora-plus", "dora")
PAPER = {
    "lora": "2106.09685 eq. 3",
    "lora-fa": "2308.03303",
    "vera": "2310.11454",
    "delta-lora": "2309.02411 algorithm 1",
    "lora-plus": "2402.12354",
    "dora": "2402.09353 eq. 5",
}

FLAGS = {
    "Plain": "nothing special: out, in, r and tokens differ, alpha differs from r",
    "ZeroWeight": "W = 0, so that the method's own term is not hidden by the base in low precision",
    "ZeroParameter": "the parameters are 0 before the update, so that the move itself is judged in low precision",
    "RankOne": "r = 1",
    "LargeRank": "r >= min(in, out)",
    "NoTokens": "tokens = 0: y and grad_x are empty, gradients of parameters are 0",
    "OneToken": "tokens = 1",
    "Square": "in = out: a transposed weight has the right shape and the wrong values",
    "OneFeature": "in = 1 or out = 1",
    "AlphaZero": "alpha = 0, so s = 0: the layer is its base",
    "AlphaLarge": "s is 16 or more",
    "AlphaSmall": "s is 1/8 or less",
    "DefaultParams": "alpha is left out and is 8",
    "RankStabilised": "s = alpha / sqrt(r) and not alpha / r (arXiv 2312.03732)",
    "FanInFanOut": "the weight is stored [in, out]",
    "Bias": "the layer has a bias, which belongs to the base and is not scaled by s",
    "DropoutMask": "0 < p < 1 with a mask: kept entries of x are divided by 1 - p on the way into A only",
    "DropoutZero": "dropout_p = 0 is given, without a mask",
    "AllDropped": "the mask drops everything: the low-rank term is 0, the base is not",
    "NoneDropped": "the mask keeps everything: entries are still divided by 1 - p",
    "Rescaled": "tensors are multiplied by powers of two that cancel or shift the result: relative errors must not change",
    "InitialState": "B = 0 (VeRA: lambda_b = 0), as at the start of training",
    "ZeroA": "A = 0, the other initialisation of LoRA+ and of embeddings",
    "FTZ": "subnormal numbers. Allowed: a result smaller than the format's smallest normal number may be off by that number",
    "NaNPropagates": "one input is NaN: the outputs it reaches are NaN, the others are not touched",
    "InfPropagates": "one input is infinite: the outputs it reaches are not finite, the others are not touched",
    "AnyNonFinite": "allowed: where infinities can cancel or meet a factor 0, by order of operations, any value that is not finite",
    "InfTimesDropped": "allowed: an infinite x that is dropped counts as 0, or as 0 times inf = NaN",
    "NaNTimesDropped": "allowed: a NaN in x that is dropped counts as 0, or as 0 times NaN = NaN",
    "MaxSlice": "A and B are larger than the layer and are sliced: A[:, :in], B[:out, :]",
    "LargeLayer": "256 x 256",
    "Projected": "LoRA-FA v2: G (A A^T)^-1 / s^2, without a ridge term",
    "OrthogonalRows": "A A^T is a multiple of the identity: the projection is a scaling",
    "LayerScale": "the same layer at another alpha / r: the projection must use the layer's own s",
    "RoundTrip": "unmerge of a merged weight: the result is the weight before",
    "SGD": "p - lr (g + wd p)",
    "AdamWTorch": "AdamW with eps outside the bias-corrected root, decay first",
    "AdamWHf": "AdamW with eps added before the bias correction, decay last",
    "WeightDecay": "weight_decay > 0",
    "FirstUpdate": "t = 1, the moments are 0 and absent",
    "LaterUpdate": "t > 1, the moments are given",
    "ZeroGradient": "g = 0: decay and old moments still move p",
    "LargeEps": "eps is as large as sqrt(v): its place in the formula shows",
    "RateRatio": "LoRA+: the rate of B is lr_ratio times lr, in its decay too",
    "EqualRates": "lr_ratio = 1: LoRA+ is LoRA",
    "DefaultRatio": "lr_ratio is left out: the contract's default is 16",
    "BeforeStart": "Delta-LoRA: t < start_step, W stays",
    "AtStart": "Delta-LoRA: t = start_step, W still stays",
    "FirstMove": "Delta-LoRA: t = start_step + 1 is the first update that moves W",
    "AfterStart": "Delta-LoRA: t > start_step + 1",
    "Lambda": "Delta-LoRA: lambda is not 2",
    "NoScaleInMove": "Delta-LoRA: include_scale = false, W moves by lambda (B+ A+ - B A)",
    "NormNotDetached": "DoRA: detach_norm = false, gradients go through the lengths of V's rows too",
    "RationalNorm": "DoRA: each row of V has a rational length that is no power of two",
    "SmallNorm": "DoRA: rows of V with lengths near 2^-18: an epsilon added to them shows",
    "NearZeroNorm": "DoRA: W nearly cancels s B A, so a row of V is short beside what it is the sum of",
    "MagnitudeNegative": "DoRA: some entries of m are negative: the row points the other way",
    "MagnitudeZero": "DoRA: some entries of m are 0",
    "Trajectory": "several updates, each judged from the case's own state, rounded to 8 bits",
    "Statistics": "random numbers, judged by their range and moments",
    "DropoutTooLarge": "must be refused: dropout_p >= 1",
    "DropoutWithoutMask": "must be refused: 0 < dropout_p < 1 and no mask",
    "DropoutForbidden": "must be refused: Delta-LoRA has no dropout",
    "RankAboveIn": "must be refused: A A^T is singular when r > in",
    "ZeroScale": "must be refused: the projection divides by s^2 = 0",
    "RankDeficient": "must be refused: the rows of A are linearly dependent",
    "ZeroNorm": "must be refused: a row of W + s B A is 0, and DoRA divides by its length",
    "NormLost": "must be refused: a merged weight does not say what the lengths of V's rows were",
    "ShapeMismatch": "must be refused: two tensors do not fit",
    "MissingTensor": "must be refused: an input is not there",
}


class Spec:
    """What one case is, before its numbers are drawn."""

    def __init__(self, method, op, name, kind, shape, params, flags, **tweaks):
        self.method, self.op, self.name, self.kind = method, op, name, kind
        self.tokens, self.inner, self.outer, self.rank = shape
        self.params, self.flags, self.tweaks = params, flags, tweaks
        family = tweaks.get("family", name)  # twins share their seed, and so every tensor they have in common
        self.seed = int.from_bytes(hashlib.sha256(f"{method}/{op}/{family}".encode()).digest()[:4], "big")

    @property
    def id(self):
        return f"{self.method}/{self.op}/{self.name}"
