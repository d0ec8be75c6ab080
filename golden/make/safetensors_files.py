"""Writes golden/safetensors/: files made by the reference implementation, and what it reads in them.

    python golden/make/safetensors_files.py

`reference.safetensors` has every kind of tensor that is awkward (narrow floats, bool, empty, scalar, Unicode names) and
float32 values with PyTorch's roundings of them. `expected.json` says what is in it; `manifest.json` how it was made. (Called `safetensors.py`, this script would import itself.)
"""

import hashlib
import json
import pathlib

import numpy
import safetensors
import torch
from safetensors.torch import save_file

SEED = 20240214
folder = pathlib.Path(__file__).resolve().parent.parent / "safetensors"
folder.mkdir(exist_ok=True)

# Bit patterns, so that every exponent occurs: ties, subnormals, overflow and NaN of both narrow types.
random = numpy.random.default_rng(SEED)
patterns = random.integers(0, 2**32, 1500, dtype=numpy.uint64).astype(numpy.uint32)
halves = (random.normal(0, 1, 500).astype(numpy.float16).astype(numpy.float32)).view(numpy.uint32)
ties16 = halves | 0x1000  # half way between two float16
ties_b16 = (patterns[:500] & 0xFFFF0000) | 0x8000  # half way between two bfloat16
special = numpy.array(
    [0.0, -0.0, 1.0, 65504.0, 65519.99, 65520.0, -65520.0, 2**-14, 2**-24, 2**-25, 1.5 * 2**-25, 3 * 2**-25, 1e-45,
     3.3895314e38, 3.4028235e38, float("inf"), float("-inf"), float("nan")], dtype=numpy.float32).view(numpy.uint32)
values = torch.from_numpy(
    numpy.concatenate([patterns, halves, ties16, ties16 + 1, ties16 - 1, ties_b16, special]).view(numpy.float32).copy())

tensors = {
    "values.f32": values,
    "values.f16": values.to(torch.float16),
    "values.bf16": values.to(torch.bfloat16),
    "small.f64": torch.tensor([[0.1, -2.0, 1e300], [5e-324, 0.0, 3.0]], dtype=torch.float64),
    "small.i64": torch.tensor([-(2**63), -1, 2**63 - 1]),
    "small.i32": torch.tensor([-(2**31), 7, 2**31 - 1], dtype=torch.int32),
    "small.i16": torch.tensor([-32768, 7, 32767], dtype=torch.int16),
    "small.i8": torch.tensor([-128, 7, 127], dtype=torch.int8),
    "small.u8": torch.tensor([0, 7, 255], dtype=torch.uint8),
    "small.u16": torch.tensor([0, 7, 65535], dtype=torch.uint16),
    "small.u32": torch.tensor([0, 7, 2**32 - 1], dtype=torch.uint32),
    "small.u64": torch.tensor([0, 7, 2**63], dtype=torch.uint64),
    "small.bool": torch.tensor([[True, False], [False, True]]),
    "small.f8_e4m3": torch.tensor([1.0, -448.0], dtype=torch.float8_e4m3fn),
    "small.f8_e5m2": torch.tensor([1.0, -57344.0], dtype=torch.float8_e5m2),
    "empty": torch.zeros(0, 3),
    "scalar": torch.tensor(2.5),
    "größe/重み/😀": torch.tensor([1.0]),
    "\uff5e sorts before the next name in UTF-8 only": torch.tensor([2.0]),
    "😀 sorts after it": torch.tensor([5.0]),
    'a "quoted"\\name\nwith\tcontrols\x01': torch.tensor([3.0]),
    "__proto__": torch.tensor([4.0]),
}
save_file(tensors, folder / "reference.safetensors", metadata={"größe": 'über "alles"\n'})

(folder / "reference.safetensors").chmod(0o644)

content = (folder / "reference.safetensors").read_bytes()
expected = {
    name: {"dtype": dtype, "shape": shape, "hex": data.hex()}
    for name, dtype, shape, data in (
        (name, info["dtype"], info["shape"], info["data"]) for name, info in safetensors.deserialize(content))
    if not name.startswith("values.")
}
(folder / "expected.json").write_text(json.dumps(expected, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
manifest = {
    "maker": "golden/make/safetensors_files.py",
    "seed": SEED,
    "versions": {m.__name__: m.__version__ for m in (numpy, safetensors, torch)},
    "sha256": {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("expected.json", "reference.safetensors")
    },
}
(folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
