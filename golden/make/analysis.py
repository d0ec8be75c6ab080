"""Writes golden/analysis: measures of weights, computed anew in NumPy's float64 from their definitions.

- `measures.json`: pairs of matrices (base, tuned), tall, wide and square, of random numbers with decaying singular values and
  planted updates; for both sides the matrix |U0^T U|, maxima, nearest vectors and counts of intruders (by the loop of
  algorithm 1 of arXiv 2410.21228), ranks, amplification, phi, pooled cosines, and W scaled along an intruder and along its
  neighbour. `overlaps`: two low-rank updates. `spearman`: rho by ranks, p by mpmath's incomplete beta function and by all
  permutations.
- `peft-intruders.json`: what PEFT's own `reduce_intruder_dimension` counts and makes of adapters with planted intruders.

Numbers of the matrices have few decimals, so that the file is small: what is in the file is what was decomposed.
"""

import itertools
import json
import pathlib

import mpmath
import numpy as np
import peft
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.intruders import reduce_intruder_dimension

OUT = pathlib.Path(__file__).parents[1] / "analysis"
rng = np.random.default_rng(20260721)


def orthonormal(rows, count):
    return np.linalg.qr(rng.standard_normal((rows, count)))[0]


def with_values(rows, columns, values):
    return orthonormal(rows, len(values)) @ np.diag(values) @ orthonormal(columns, len(values)).T


def rounded(matrix, decimals=4):
    return np.round(matrix, decimals)


def low_rank(rows, columns, r, size):
    return size * orthonormal(rows, r) @ np.diag(np.linspace(1, 0.4, r)) @ orthonormal(columns, r).T


def spectrum(n):
    return 3.0 * 0.9 ** np.arange(n)


CASES = {
    # One strong random direction: an intruder at rank 1.
    "square": lambda: (m := with_values(24, 24, spectrum(24)), m + low_rank(24, 24, 1, 6.0)),
    # Tall: left vectors of the base do not span the space.
    "tall": lambda: (m := with_values(30, 12, spectrum(12)), m + low_rank(30, 12, 3, 4.0)),
    "wide": lambda: (m := with_values(11, 32, spectrum(11)), m + low_rank(11, 32, 2, 5.0)),
    # A small change of every element: no intruder is planted.
    "dense": lambda: (m := with_values(20, 26, spectrum(20)), m + 0.02 * rng.standard_normal((20, 26))),
    # No structure at all.
    "random": lambda: (rng.standard_normal((18, 15)), rng.standard_normal((18, 15))),
}


def listed(array):
    return np.asarray(array).tolist()


def effective_rank(s):
    p = s / np.abs(s).sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def count_intruders(base, tuned, k, epsilon):
    """Algorithm 1, word for word; columns are singular vectors."""
    n = 0
    for j in range(min(k, tuned.shape[1])):
        if all(abs(base[:, i] @ tuned[:, j]) < epsilon for i in range(base.shape[1])):
            n += 1
    return n


def pooled(matrix, size):
    rows, columns = matrix.shape
    h, w = min(size, rows), min(size, columns)
    grid = np.full((h, w), -np.inf)
    for i in range(rows):
        for j in range(columns):
            a, b = i * h // rows, j * w // columns
            grid[a, b] = max(grid[a, b], matrix[i, j])
    return grid


def phi(u, v):
    """Singular values of U_i^T V_j, as the projection metric has them: not sums of squared cosines."""
    grid = np.empty((u.shape[1], v.shape[1]))
    for i in range(1, u.shape[1] + 1):
        for j in range(1, v.shape[1] + 1):
            sigma = np.linalg.svd(u[:, :i].T @ v[:, :j], compute_uv=False)
            p = min(i, j)
            distance = np.sqrt(max(0.0, p - (sigma**2).sum()))
            grid[i - 1, j - 1] = 1 - distance**2 / p
    return grid


SETTINGS = [(10, 0.5), (10, 0.8), (5, 0.3), (3, 0.9), (100, 0.6)]


def measure(base, tuned):
    base, tuned = rounded(base), rounded(tuned)
    delta = tuned - base
    (u0, s0, v0), (u, s, v), (ud, sd, vd) = (np.linalg.svd(m, full_matrices=False) for m in (base, tuned, delta))
    sides = {}
    for side, known, found in (("left", u0, u), ("right", v0.T, v.T)):
        cosines = np.abs(known.T @ found)
        sides[side] = {
            "cosines": listed(cosines),
            "max_cos": listed(cosines.max(axis=0)),
            "nearest": listed(cosines.argmax(axis=0) + 1),
            "counts": [{"k": k, "epsilon": e, "count": count_intruders(known, found, k, e)} for k, e in SETTINGS],
            "ranks": listed(np.flatnonzero(cosines.max(axis=0)[:10] < 0.5) + 1),
            "spans": known.shape[1] >= known.shape[0],
            "pooled": listed(pooled(cosines, 7)),
        }
    r = 3
    along = np.linalg.norm(ud[:, :r].T @ base @ vd[:r].T)
    intruders = [rank - 1 for rank in sides["left"]["ranks"]] or [1]
    neighbour = next(i for i in range(len(s)) if i > intruders[0] and i not in intruders)
    return {
        "shape": listed(base.shape),
        "base": listed(base.flatten()),
        "tuned": listed(tuned.flatten()),
        "sigma_base": listed(s0),
        "sigma_tuned": listed(s),
        "sigma_delta": listed(sd),
        "effective_ranks": [effective_rank(x) for x in (s0, s, sd)],
        "stable_rank_delta": float(np.linalg.norm(delta) ** 2 / np.linalg.norm(delta, 2) ** 2),
        # Of rounded matrices: to four decimals a planted rank is no longer one.
        "numeric_ranks": [int(np.linalg.matrix_rank(x)) for x in (base, tuned, delta)],
        "norms": {
            "frobenius": float(np.linalg.norm(delta)),
            "base": float(np.linalg.norm(base)),
            "max_abs": float(np.abs(delta).max()),
            "mean_abs": float(np.abs(delta).mean()),
            "rms": float(np.sqrt((delta**2).mean())),
        },
        "amplification": {
            "r": r,
            "factor": float(np.linalg.norm(delta) / along),
            "along_delta": float(along),
            "along_base": float(np.linalg.norm(u0[:, :r].T @ base @ v0[:r].T)),
            "random_expected": float(np.linalg.norm(base) * r / np.sqrt(base.size)),
        },
        "phi_right": listed(phi(v0.T, vd.T)),
        "sides": sides,
        "scaled": [
            {
                "index": index,
                "lambda": factor,
                "W": listed((tuned + (factor - 1) * s[index] * np.outer(u[:, index], v[index])).flatten()),
            }
            for index, factor in ((intruders[0], 0.3), (neighbour, 0.3))
        ],
    }


def overlap():
    """B1 A1 and B2 A2 that share a direction of each side."""
    out, wide = 14, 19
    b1, b2 = rounded(rng.standard_normal((out, 4))), rounded(rng.standard_normal((out, 2)))
    a1, a2 = rounded(rng.standard_normal((4, wide))), rounded(rng.standard_normal((2, wide)))
    b2[:, 0], a2[1] = b1[:, 2], a1[0]
    first, second = b1 @ a1, b2 @ a2
    (u1, s1, v1), (u2, s2, v2) = (np.linalg.svd(m, full_matrices=False) for m in (first, second))
    top = u1[:, :2] * s1[:2] @ v1[:2]
    inside = u2[:, :2].T @ first @ v2[:2].T
    return {
        "B1": listed(b1),
        "A1": listed(a1),
        "B2": listed(b2),
        "A2": listed(a2),
        "left": listed(phi(u1[:, :4], u2[:, :2])),
        "right": listed(phi(v1[:4].T, v2[:2].T)),
        "cosine": float((first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second)),
        # The second update as what was learned, the first as the full one.
        "learned": {
            "left": listed(phi(u2[:, :2], u1[:, :2])),
            "right": listed(phi(v2[:2].T, v1[:2].T)),
            "captured": float(np.linalg.norm(inside) ** 2 / np.linalg.norm(first) ** 2),
            "best": float(np.linalg.norm(top) ** 2 / np.linalg.norm(first) ** 2),
            "distance": float(np.linalg.norm(second - top) / np.linalg.norm(top)),
        },
    }


def mean_ranks(x):
    x = np.asarray(x)
    return np.array([(x < value).sum() + ((x == value).sum() + 1) / 2 for value in x])


def spearman_cases():
    lists = [
        ([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]),
        ([0.3, 1.5, -2, 8], [4, 3, 9, 1.5]),
        ([1, 2, 2, 3, 1, 7, 8], [2.5, 2, 2, 1, 4, 4, 4]),
        (listed(rounded(rng.standard_normal(8))), listed(rounded(rng.standard_normal(8)))),
        (listed(np.arange(15)), listed(rounded(np.arange(15) + 6 * rng.standard_normal(15)))),
        (listed(rounded(rng.standard_normal(40), 1)), listed(rounded(rng.standard_normal(40), 1))),
        ([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]),
    ]
    found = []
    for x, y in lists:
        a, b = mean_ranks(x), mean_ranks(y)
        rho, n = float(np.corrcoef(a, b)[0, 1]), len(x)
        t2 = mpmath.inf if abs(rho) > 1 - 1e-15 else mpmath.mpf(rho) ** 2 * (n - 2) / (1 - mpmath.mpf(rho) ** 2)
        nu = n - 2
        p = 0 if t2 == mpmath.inf else mpmath.betainc(nu / mpmath.mpf(2), 0.5, 0, nu / (nu + t2), regularized=True)
        case = {"x": x, "y": y, "rho": rho, "t": float(p)}
        if n <= 8:
            orders = [np.corrcoef(a, np.array(order))[0, 1] for order in itertools.permutations(b)]
            case["exact"] = float(np.mean(np.abs(orders) >= abs(rho) - 1e-9))
        found.append(case)
    return found


class Layers(torch.nn.Module):
    """Two linear layers, tall and wide; the weights have decaying singular values."""

    def __init__(self):
        super().__init__()
        self.tall = torch.nn.Linear(20, 28, bias=False)
        self.wide = torch.nn.Linear(28, 18, bias=False)
        self.idle = torch.nn.Linear(18, 18, bias=False)

    def forward(self, x):
        return self.idle(self.wide(self.tall(x)))


def peft_intruders():
    model = Layers().double()
    with torch.no_grad():
        for layer in (model.tall, model.wide, model.idle):
            rows, columns = layer.weight.shape
            n = min(rows, columns)
            layer.weight.copy_(torch.tensor(rounded(with_values(rows, columns, spectrum(n)))))
    r, alpha = 3, 5
    config = LoraConfig(r=r, lora_alpha=alpha, target_modules=["tall", "wide", "idle"])
    wrapped = get_peft_model(model, config)
    names, cases = ["tall", "wide", "idle"], {}
    for name, size in zip(names, (5.0, 4.0, 0.02)):
        layer = getattr(wrapped.base_model.model, name)
        rows, columns = layer.weight.shape
        update = low_rank(rows, columns, r, size) / (alpha / r)
        u, s, vt = np.linalg.svd(update, full_matrices=False)
        b, a = rounded(u[:, :r] * np.sqrt(s[:r])), rounded(np.sqrt(s[:r])[:, None] * vt[:r])
        with torch.no_grad():
            layer.lora_B["default"].weight.copy_(torch.tensor(b))
            layer.lora_A["default"].weight.copy_(torch.tensor(a))
        cases[name] = {
            "shape": [rows, columns],
            "W": listed(layer.weight.detach().numpy().flatten()),
            "A": listed(a),
            "B": listed(b),
        }
    said = []
    reduce_intruder_dimension(wrapped, top_k=8, threshold_epsilon=0.5, mitigation_lambda=0.4, logging_sink=said.append)
    for name in names:
        layer = getattr(wrapped.base_model.model, name)
        line = next(line for line in said if name in line)
        cases[name]["count"] = 0 if "No intruders" in line else int(line.split("Intruders: ")[1])
        cases[name]["delta"] = listed(layer.get_delta_weight("intruder_reduced").detach().numpy().flatten())
    return {"k": 8, "epsilon": 0.5, "lambda": 0.4, "r": r, "alpha": alpha, "layers": cases}


OUT.mkdir(exist_ok=True)
measures = {
    "cases": {name: measure(*make()) for name, make in CASES.items()},
    "overlap": overlap(),
    "spearman": spearman_cases(),
}
(OUT / "measures.json").write_text(json.dumps(measures) + "\n")
(OUT / "peft-intruders.json").write_text(json.dumps(peft_intruders()) + "\n")
versions = {"numpy": np.__version__, "torch": torch.__version__, "peft": peft.__version__, "mpmath": mpmath.__version__}
(OUT / "manifest.json").write_text(json.dumps(versions) + "\n")
