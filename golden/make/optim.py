"""Ten steps of PyTorch's optimizers on one parameter: golden/optim.json.

Gradients do not depend on the parameter (they are given), so that only the update rule is judged.
"""

import json
import pathlib

import torch

torch.manual_seed(0)
SHAPE = (3, 5)
STEPS = 10
start = torch.randn(SHAPE, dtype=torch.float64)
gradients = torch.randn((STEPS, *SHAPE), dtype=torch.float64) * torch.logspace(-3, 1, STEPS, dtype=torch.float64)[:, None, None]
learning_rates = [0.01 * (0.9**i) for i in range(STEPS)]

CASES = {
    "sgd": (torch.optim.SGD, "sgd", {}),
    "sgd momentum": (torch.optim.SGD, "sgd", {"momentum": 0.9}),
    "sgd nesterov decay": (torch.optim.SGD, "sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adam": (torch.optim.Adam, "adam", {}),
    "adam decay betas": (torch.optim.Adam, "adam", {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, "adamw", {}),
    "adamw decay": (torch.optim.AdamW, "adamw", {"weight_decay": 0.1}),
}

runs = []
for name, (optimizer, kind, options) in CASES.items():
    parameter = torch.nn.Parameter(start.clone())
    made = optimizer([parameter], lr=learning_rates[0], **options)
    states = []
    for gradient, rate in zip(gradients, learning_rates):
        made.param_groups[0]["lr"] = rate
        parameter.grad = gradient.clone()
        made.step()
        states.append(parameter.detach().flatten().tolist())
    runs.append({"name": name, "optimizer": kind, "options": options, "parameters": states})

# Clipping: two tensors, one norm.
pair = [torch.nn.Parameter(torch.zeros(4)), torch.nn.Parameter(torch.zeros(2, 3))]
for p in pair:
    p.grad = torch.randn(p.shape)
given = [p.grad.flatten().tolist() for p in pair]
norm = torch.nn.utils.clip_grad_norm_(pair, 0.5).item()
clip = {"max_norm": 0.5, "gradients": given, "norm": norm, "clipped": [p.grad.flatten().tolist() for p in pair]}

out = pathlib.Path(__file__).parent.parent / "optim.json"
out.write_text(
    json.dumps(
        {
            "torch": torch.__version__,
            "seed": 0,
            "shape": SHAPE,
            "start": start.flatten().tolist(),
            "gradients": [g.flatten().tolist() for g in gradients],
            "learning_rates": learning_rates,
            "runs": runs,
            "clip": clip,
        }
    )
)
