"""Writes golden/conv.json: convolutions of torch in float64, with both derivatives.

Inputs are multiples of 1/8, so that every number in the file is exact.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

SEED = 20240607

# name, x [N, C, H, W], w [O, C/groups, kh, kw], options
CASES = [
    ("plain", (2, 3, 5, 7), (4, 3, 3, 2), {}),
    ("strides that leave a rest", (2, 3, 8, 7), (2, 3, 3, 2), {"strides": [3, 2], "pads": [1, 0, 1, 0]}),
    ("asymmetric pads", (1, 2, 5, 6), (3, 2, 2, 3), {"strides": [2, 1], "pads": [0, 2, 1, 1]}),
    ("dilations", (2, 2, 9, 8), (3, 2, 3, 2), {"dilations": [2, 3], "pads": [1, 2, 1, 2]}),
    ("groups", (2, 6, 5, 4), (4, 3, 3, 3), {"groups": 2, "pads": [1, 1, 1, 1]}),
    ("depthwise", (2, 3, 6, 7), (3, 1, 3, 3), {"groups": 3, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("depthwise with two filters per channel", (1, 3, 5, 6), (6, 1, 2, 3), {"groups": 3, "strides": [1, 2]}),
    (
        "everything",
        (3, 4, 11, 10),
        (6, 2, 2, 3),
        {"groups": 2, "strides": [2, 3], "dilations": [3, 2], "pads": [2, 0, 1, 3]},
    ),
]


def tensor(shape, generator):
    return torch.randint(-8, 9, shape, generator=generator).to(torch.float64) / 8


def plain(t):
    return {"shape": list(t.shape), "data": t.detach().flatten().tolist()}


def main():
    generator = torch.Generator().manual_seed(SEED)
    cases = []
    for name, x_shape, w_shape, options in CASES:
        x = tensor(x_shape, generator).requires_grad_()
        w = tensor(w_shape, generator).requires_grad_()
        top, left, bottom, right = options.get("pads", [0, 0, 0, 0])
        y = F.conv2d(
            F.pad(x, (left, right, top, bottom)),
            w,
            stride=options.get("strides", 1),
            dilation=options.get("dilations", 1),
            groups=options.get("groups", 1),
        )
        dy = tensor(y.shape, generator)
        y.backward(dy)
        tensors = {"x": x, "w": w, "y": y, "dY": dy, "dX": x.grad, "dW": w.grad}
        cases.append({"name": name, "options": options, **{k: plain(v) for k, v in tensors.items()}})
    made = {"torch": torch.__version__.split("+")[0], "seed": SEED, "dtype": "float64"}
    path = pathlib.Path(__file__).parents[1] / "conv.json"
    path.write_text(json.dumps({"made": made, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
