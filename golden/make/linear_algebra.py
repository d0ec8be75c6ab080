"""Writes golden/linear-algebra/svd.json: matrices of float32 numbers, and what LAPACK says of them in float64.

- `tall`, `wide`: random, oblong. `decaying`: singular values 2⁻ⁱ. `cluster`: three equal singular values after a larger one.
- `deficient`: of rank 3.

`singular_values`; `best`: for some ranks r the best approximation of rank r (where it is unique); `qr`: Q[:, :r] R[:r] for r = 3.
"""

import json
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).parents[1] / "linear-algebra"
rng = np.random.default_rng(20250311)


def with_values(rows, columns, values):
    u = np.linalg.qr(rng.standard_normal((rows, len(values))))[0]
    v = np.linalg.qr(rng.standard_normal((columns, len(values))))[0]
    return u @ np.diag(values) @ v.T


MATRICES = {
    "tall": (rng.standard_normal((17, 7)), (1, 4)),
    "wide": (rng.standard_normal((9, 23)), (2, 5)),
    "decaying": (with_values(14, 11, 2.0 ** -np.arange(11)), (3, 8)),
    "cluster": (with_values(12, 19, np.array([3, 1, 1, 1, 0.25, 0.125])), (1, 4)),
    "deficient": (with_values(10, 8, np.array([2, 1, 0.5])), (2, 3)),
}

found = {}
for name, (matrix, ranks) in MATRICES.items():
    matrix = matrix.astype(np.float32).astype(np.float64)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    q, r = np.linalg.qr(matrix)
    found[name] = {
        "rows": matrix.shape[0],
        "columns": matrix.shape[1],
        "data": matrix.flatten().tolist(),
        "singular_values": s.tolist(),
        "best": {str(k): (u[:, :k] * s[:k] @ vt[:k]).flatten().tolist() for k in ranks},
        "qr": (q[:, :3] @ r[:3]).flatten().tolist(),
    }
OUT.mkdir(exist_ok=True)
(OUT / "svd.json").write_text(json.dumps(found) + "\n")
