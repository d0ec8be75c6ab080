"""Writes golden/linear-algebra/spectra.json: what LAPACK (numpy.linalg.svd, float64) says of matrices that are hard in some way.

- `generated`: uniform numbers of a linear congruential generator, which the test makes, too.
- others: `data` is float64, little-endian, in base64. `clustered`: values that are equal, or nearly. `tiny`: values from 1 to 1e-13.
  `deficient`: most values are rounding. `huge`: values around 1e200. `row`, `column`: 1 × n, n × 1.

`singular_values`; `left`, `right`: for some ranks r behind which there is a gap, U U^T t and V V^T t with the first r vectors and
the test vectors t of `probes`, which say what the subspaces are without saying their vectors.
"""

import base64
import json
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).parents[1] / "linear-algebra"
rng = np.random.default_rng(20260203)


def congruential(count, seed):
    x, out = seed, []
    for _ in range(count):
        x = (1664525 * x + 1013904223) % 2**32
        out.append((x >> 8) / 2**24 - 0.5)
    return np.array(out)


def probes(length):
    return congruential(2 * length, 7).reshape(2, length)


def with_values(rows, columns, values):
    u = np.linalg.qr(rng.standard_normal((rows, len(values))))[0]
    v = np.linalg.qr(rng.standard_normal((columns, len(values))))[0]
    return u @ np.diag(values) @ v.T


clusters = np.concatenate([[3.0], np.full(6, 1.0), 0.5 + 1e-10 * np.arange(9), np.full(20, 0.25), 0.1 * 0.9 ** np.arange(20)])
GENERATED = {"tall": (300, 130, (1, 60)), "wide": (90, 410, (3, 89)), "square": (140, 140, (2, 40))}
STORED = {
    "clustered": (with_values(60, 56, clusters), (1, 7, 16, 36, 50)),
    "tiny": (with_values(52, 66, 10.0 ** -np.linspace(0, 13, 52)), (1, 10, 20, 30, 36)),
    "deficient": (with_values(58, 54, np.linspace(2, 1, 17)), (9, 17)),
    "huge": (1e200 * with_values(30, 26, np.linspace(2, 1, 26)), (5,)),
    "row": (rng.standard_normal((1, 37)), (1,)),
    "column": (rng.standard_normal((23, 1)), (1,)),
}


def found(matrix, ranks):
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    rows, columns = matrix.shape
    return {
        "rows": rows,
        "columns": columns,
        "singular_values": s.tolist(),
        "left": {str(r): (probes(rows) @ u[:, :r] @ u[:, :r].T).round(12).flatten().tolist() for r in ranks},
        "right": {str(r): (probes(columns) @ vt[:r].T @ vt[:r]).round(12).flatten().tolist() for r in ranks},
    }


result = {}
for seed, (name, (rows, columns, ranks)) in enumerate(GENERATED.items(), 1):
    matrix = congruential(rows * columns, seed).reshape(rows, columns)
    result[name] = {"seed": seed, **found(matrix, ranks)}
for name, (matrix, ranks) in STORED.items():
    data = base64.b64encode(matrix.astype("<f8").tobytes()).decode()
    result[name] = {"data": data, **found(matrix, ranks)}
(OUT / "spectra.json").write_text(json.dumps(result) + "\n")
