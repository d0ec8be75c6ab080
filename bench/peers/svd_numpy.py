"""The peer: numpy.linalg.svd (LAPACK's gesdd) of matrices of normal numbers.

Prints the seconds that all of them took, one after the other, after a small one that has warmed up the threads.
usage: python svd_numpy.py values|vectors float32|float64 ROWSxCOLUMNS...
       python svd_numpy.py version
"""

import sys
import time

import numpy as np

if sys.argv[1] == "version":
    print(f'"{np.__version__}"')
    sys.exit()

kind, dtype = sys.argv[1:3]
rng = np.random.default_rng(1)


def decompose(matrix):
    return np.linalg.svd(matrix, full_matrices=False, compute_uv=kind == "vectors")


shapes = [tuple(map(int, shape.split("x"))) for shape in sys.argv[3:]]
matrices = [(0.02 * rng.standard_normal(shape)).astype(dtype) for shape in shapes]
decompose(rng.standard_normal((200, 200)).astype(dtype))
start = time.perf_counter()
for each in matrices:
    decompose(each)
print(time.perf_counter() - start)
