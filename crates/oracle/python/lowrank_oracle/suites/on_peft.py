"""PEFT's layers and optimisers, and torch's, given the tensors of a case. Each function returns out.* by name.

None: the case cannot be said in this interface.
"""

import torch
from peft import LoraConfig, VeraConfig, get_peft_model
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer
from transformers.pytorch_utils import Conv1D


class GivenMask(torch.nn.Module):
    """Inverted dropout with the mask of the case, in place of a random one."""

    def __init__(self, mask, p):
        super().__init__()
        self.factor = mask / (1 - p)

    def forward(self, x):
        return (x * self.factor).to(x.dtype)


def base_of(case, dtype):
    """nn.Linear, or GPT-2's Conv1D where the weight is [in, out]."""
    fan = case.params["fan_in_fan_out"]
    sizes = case.weight.shape
    base = Conv1D(sizes[1], sizes[0]) if fan else torch.nn.Linear(sizes[1], sizes[0], bias=case.bias is not None)
    base = base.to(dtype)
    with torch.no_grad():
        base.weight.copy_(torch.from_numpy(case.weight))
        if fan:
            base.bias.zero_()
        if case.bias is not None:
            base.bias.copy_(torch.from_numpy(case.bias))
    return base


def model_of(case, dtype, autocast=True):
    """A model of one layer under PEFT, and that layer."""
    model, p = torch.nn.Sequential(base_of(case, dtype)), case.params
    common = {"target_modules": ["0"], "fan_in_fan_out": p["fan_in_fan_out"]}
    dropout = p.get("dropout_p", 0)
    if case.method == "vera":
        config = VeraConfig(r=len(case.vera_lambda_d), vera_dropout=dropout, **common)
    else:
        common |= {"lora_dropout": dropout, "use_dora": case.method == "dora"}
        config = LoraConfig(r=len(case.lora_A), lora_alpha=p["alpha"], use_rslora=p["scaling"] == "rslora", **common)
    model = get_peft_model(model, config, autocast_adapter_dtype=autocast).train()
    layer = model.base_model.model[0]
    with torch.no_grad():
        if case.method == "vera":
            layer.vera_lambda_b["default"].copy_(torch.from_numpy(case.vera_lambda_b))
            layer.vera_lambda_d["default"].copy_(torch.from_numpy(case.vera_lambda_d))
            like = layer.vera_A["default"].dtype
            layer.vera_A["default"] = torch.from_numpy(case.vera_A).to(like)
            layer.vera_B["default"] = torch.from_numpy(case.vera_B).to(like)
        else:
            layer.lora_A["default"].weight.copy_(torch.from_numpy(case.lora_A))
            layer.lora_B["default"].weight.copy_(torch.from_numpy(case.lora_B))
        if case.method == "dora":
            layer.lora_magnitude_vector["default"].weight.copy_(torch.from_numpy(case.lora_magnitude_vector))
    if dropout > 0:
        place = layer.vera_dropout if case.method == "vera" else layer.lora_dropout
        # The mask in float64: the factor 1 / (1 - p) is then rounded once, as nn.Dropout does it.
        place["default"] = GivenMask(torch.from_numpy(case.dropout_mask.astype(float)), dropout)
    return model, layer


def backward(case, dtype, autocast=True):
    if case.params.get("variant") == "projected" or not case.params.get("detach_norm", True):
        return None
    model, layer = model_of(case, dtype, autocast)
    x = torch.from_numpy(case.x).to(dtype).requires_grad_()
    y = model(x)
    outputs = {"y": y}
    if case.op == "forward":
        return outputs
    y.backward(torch.from_numpy(case.grad_y).to(dtype))
    outputs["grad_x"] = x.grad
    if case.method == "vera":
        outputs["grad_vera_lambda_b"] = layer.vera_lambda_b["default"].grad
        outputs["grad_vera_lambda_d"] = layer.vera_lambda_d["default"].grad
    else:
        outputs["grad_lora_A"] = layer.lora_A["default"].weight.grad
        outputs["grad_lora_B"] = layer.lora_B["default"].weight.grad
        if case.method == "dora":
            outputs["grad_lora_magnitude_vector"] = layer.lora_magnitude_vector["default"].weight.grad
    return {name: outputs[name] for name in case.outputs}


def merge(case, dtype, autocast=True):
    _, layer = model_of(case, dtype, autocast)
    if case.op == "merge":
        layer.merge()
    else:
        layer.merged_adapters.append("default")
        layer.unmerge()
    return {"weight": layer.base_layer.weight}


def trained(case):
    return [name[5:] for name in case.inputs if name.startswith("grad_")]


def state(case, optimizer, parameters):
    """Gives an optimiser the moments of the case and the number of updates that came before."""
    if case.params["optimizer"]["name"] != "adamw":
        return
    for name, parameter in parameters.items():
        moments = {}
        for moment in ("exp_avg", "exp_avg_sq"):
            given = case.inputs.get(f"{moment}.{name}")
            zero = torch.zeros_like(parameter)
            moments[moment] = zero if given is None else torch.from_numpy(given).to(parameter.dtype)
        optimizer.state[parameter] = {"step": torch.tensor(float(case.params["start"])), **moments}


def after(case, optimizer, parameters):
    outputs = {name: parameter.detach() for name, parameter in parameters.items()}
    if case.params["optimizer"]["name"] == "adamw":
        for name, parameter in parameters.items():
            for moment in ("exp_avg", "exp_avg_sq"):
                outputs[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    return outputs


def torch_optimizer(o):
    if o["name"] == "sgd":
        return torch.optim.SGD, {}
    if o["variant"] != "torch":
        return None, {}
    return torch.optim.AdamW, {"betas": tuple(o["betas"]), "eps": o["eps"]}


def torch_step(case, dtype):
    """torch.optim on the factors: what every trainer on PEFT runs."""
    o = case.params["optimizer"]
    kind, more = torch_optimizer(o)
    if kind is None or case.params.get("variant") == "projected":
        return None
    parameters = {name: torch.nn.Parameter(torch.from_numpy(case.inputs[name]).to(dtype)) for name in trained(case)}
    optimizer = kind(parameters.values(), lr=o["lr"], weight_decay=o["weight_decay"], **more)
    return stepped(case, optimizer, parameters)


def stepped(case, optimizer, parameters):
    state(case, optimizer, parameters)
    for name, parameter in parameters.items():
        parameter.grad = torch.from_numpy(case.inputs[f"grad_{name}"]).to(parameter.dtype)
    optimizer.step()
    return after(case, optimizer, parameters)


def small_model(case, dtype):
    """A PEFT model that holds the factors of a step: its weight does not matter."""
    rank, inputs = case.inputs["lora_A"].shape
    outputs = len(case.inputs["lora_B"])
    config = LoraConfig(
        r=rank, lora_alpha=case.params["alpha"], use_rslora=case.params["scaling"] == "rslora", target_modules=["0"]
    )
    model = get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(inputs, outputs, bias=False, dtype=dtype)), config, autocast_adapter_dtype=False
    )
    layer = model.base_model.model[0]
    parameters = {name: getattr(layer, name)["default"].weight for name in ("lora_A", "lora_B")}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(case.inputs[name]))
    return model, parameters


def plus_step(case, dtype):
    """create_loraplus_optimizer; decay goes by the name `loraplus_weight_decay`."""
    o = case.params["optimizer"]
    kind, more = torch_optimizer(o)
    if kind is None:
        return None
    model, parameters = small_model(case, dtype)
    optimizer = create_loraplus_optimizer(
        model, kind, lr=o["lr"], loraplus_lr_ratio=o["lr_ratio"], loraplus_weight_decay=o["weight_decay"], **more
    )
    return stepped(case, optimizer, parameters)


def fa_step(case, dtype):
    """create_lorafa_optimizer: the projected gradient under transformers' old AdamW."""
    o = case.params["optimizer"]
    if case.params["variant"] != "projected" or o["name"] != "adamw" or o["variant"] != "hf":
        return None
    model, parameters = small_model(case, dtype)
    rank = len(case.inputs["lora_A"])
    optimizer = create_lorafa_optimizer(
        model, r=rank, lora_alpha=case.params["alpha"], lr=o["lr"], weight_decay=o["weight_decay"]
    )
    optimizer.param_groups[0].update(betas=tuple(o["betas"]), eps=o["eps"])
    b = parameters["lora_B"]
    b.grad = torch.from_numpy(case.inputs["grad_lora_B"]).to(b.dtype)
    name = next(n for n, p in model.named_parameters() if p is b)
    moments = optimizer.state[name[: name.find("lora")] + "lora"]
    moments["step"] = case.params["start"]
    for moment in ("exp_avg", "exp_avg_sq"):
        given = case.inputs.get(f"{moment}.lora_B")
        moments[f"{moment}_B"] = torch.zeros_like(b.data) if given is None else torch.from_numpy(given).to(b.dtype)
    with torch.no_grad():
        optimizer.step()
    return {"lora_B": b.detach(), "exp_avg.lora_B": moments["exp_avg_B"], "exp_avg_sq.lora_B": moments["exp_avg_sq_B"]}
