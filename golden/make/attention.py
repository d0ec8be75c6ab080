"""Writes golden/attention.json: torch's scaled_dot_product_attention in float64, with derivatives."""

import json
import pathlib

import torch
import torch.nn.functional as F

SEED = 20240608

# name, B, H, Hkv, T, S, Dh, kind of mask, scale
CASES = [
    ("no mask", 2, 3, 3, 4, 5, 2, None, None),
    ("causal", 1, 2, 2, 5, 5, 3, "causal", None),
    ("causal, grouped heads", 2, 6, 2, 4, 4, 3, "causal", None),
    ("causal after 3 cached tokens", 1, 4, 2, 2, 5, 3, "causal", None),
    ("one key and value head, own scale", 2, 3, 1, 3, 5, 4, None, 0.7),
    ("bool mask per sequence", 2, 2, 1, 3, 4, 3, "bool", None),
    ("float mask", 1, 4, 2, 3, 5, 2, "float", 0.3),
]


def plain(t):
    return {"shape": list(t.shape), "data": [round(v, 14) for v in t.detach().to(torch.float64).flatten().tolist()]}


def main():
    generator = torch.Generator().manual_seed(SEED)

    def tensor(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).mul(1000).round().div(1000)

    cases = []
    for name, b, h, hkv, t, s, dh, kind, scale in CASES:
        q = tensor(b, h, t, dh).requires_grad_()
        k = tensor(b, hkv, s, dh).requires_grad_()
        v = tensor(b, hkv, s, dh).requires_grad_()
        mask = None
        if kind == "causal":
            # The last query sees every key; torch's is_causal differs from this where T != S.
            mask = torch.ones(t, s, dtype=torch.bool).tril(diagonal=s - t)
        elif kind == "bool":
            mask = torch.rand(b, 1, 1, s, generator=generator) < 0.6
            mask[..., 0] = True
        elif kind == "float":
            mask = tensor(t, s)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=True)
        dy = tensor(*y.shape)
        y.backward(dy)
        tensors = {"q": q, "k": k, "v": v, "y": y, "dY": dy, "dQ": q.grad, "dK": k.grad, "dV": v.grad}
        case = {"name": name, "scale": scale, "mask": kind, **{n: plain(x) for n, x in tensors.items()}}
        if kind in ("bool", "float"):
            case["maskValues"] = plain(mask)
        cases.append(case)
    made = {"torch": torch.__version__.split("+")[0], "seed": SEED, "dtype": "float64"}
    path = pathlib.Path(__file__).parents[1] / "attention.json"
    path.write_text(json.dumps({"made": made, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
