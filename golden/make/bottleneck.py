"""Writes golden/bottleneck.json: bottleneck adapters behind a linear layer, with torch.

For every activation and form: input, weights, output and gradients of sum(output * weighting), in float64.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

ROWS, IN, OUT, WIDTH = 5, 6, 9, 4
ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "swish": F.silu,
    "tanh": torch.tanh,
}


def case(name, parallel, scaling, seed):
    torch.manual_seed(seed)
    layer = torch.nn.Linear(IN, OUT).double()
    down = torch.nn.Linear(IN if parallel else OUT, WIDTH).double()
    up = torch.nn.Linear(WIDTH, OUT).double()
    x, weighting = torch.randn(ROWS, IN).double().requires_grad_(), torch.randn(ROWS, OUT).double()
    h = layer(x)
    y = h + scaling * up(ACTIVATIONS[name](down(x if parallel else h)))
    (y * weighting).sum().backward()
    parameters = {"adapter_down": down, "adapter_up": up}
    values = {f"{module}.{key}": p for module, m in parameters.items() for key, p in m.named_parameters()}
    return {
        "non_linearity": name,
        "parallel": parallel,
        "scaling": scaling,
        "x": x.tolist(),
        "weighting": weighting.tolist(),
        "weight": layer.weight.tolist(),
        "bias": layer.bias.tolist(),
        "parameters": {key: p.tolist() for key, p in values.items()},
        "y": y.tolist(),
        "gradients": {"x": x.grad.tolist()} | {key: p.grad.tolist() for key, p in values.items()},
    }


def main():
    cases = [case(name, i % 2 == 1, 1.5 - i / 4, i) for i, name in enumerate(ACTIVATIONS)]
    rounded = json.loads(json.dumps(cases), parse_float=lambda text: round(float(text), 12))
    path = pathlib.Path(__file__).parents[1] / "bottleneck.json"
    path.write_text(json.dumps({"torch": torch.__version__.split("+")[0], "cases": rounded}) + "\n")


main()
