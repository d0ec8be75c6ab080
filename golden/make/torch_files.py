"""Writes golden/torch-pickle: files of torch.save in its layouts, and what torch reads from them (manifest.json: shape, type and
SHA-256 of the row-major bytes of every tensor).

- `zip.pt`: every data type, views (transposed, sliced, shared), a parameter, scalars, nested dicts, values that are no tensors.
- `legacy.bin`: the same in the layout before 1.6; `protocol4.pt`: with pickle protocol 4; `deflated.pt`: zip.pt compressed.
- `module.pt`: the state dict of a module, an OrderedDict with attributes. `loralib.bin`: names of loralib, with a MergedLinear.
- `lora-roberta` in the manifest: the tensors of roberta_base_lora_mnli.bin, if the path of that file is given.
"""

import hashlib
import json
import pathlib
import sys
import zipfile

import torch

OUT = pathlib.Path(__file__).parents[1] / "torch-pickle"
OUT.mkdir(exist_ok=True)
torch.manual_seed(7)

base = torch.randn(5, 7)
values = {
    "float32": base,
    "transposed": base.t(),
    "sliced": base[1:4, 2:7:2],
    "row": base[2],
    "float64": torch.randn(3, 2, 2, dtype=torch.float64),
    "float16": torch.randn(4).half(),
    "bfloat16": torch.randn(3, 3).bfloat16().t(),
    "int64": torch.tensor([2**40, -3]),
    "int32": torch.tensor([[1, -2]], dtype=torch.int32),
    "int16": torch.tensor([-7], dtype=torch.int16),
    "int8": torch.tensor([-7, 7], dtype=torch.int8),
    "uint8": torch.tensor([200], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "complex64": torch.tensor([1 + 2j, -1j]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
    "parameter": torch.nn.Parameter(torch.randn(2, 3)),
    "nested": {"inner": {"weight": torch.randn(2, 2)}, "list": [torch.ones(1), torch.zeros(2)]},
    "epoch": 3,
    "name": "größe",
    "big": 2**80,
    "rate": 1e-3,
    "none": None,
    "flags": (True, False),
    "size": torch.Size([2, 3]),
    "dtype": torch.float16,
}


def flat(value, path=""):
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        for key, inner in enumerate(value):
            yield from flat(inner, f"{path}.{key}")


def facts(tensor):
    plain = tensor.detach().cpu().contiguous()
    raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    dtype = str(plain.dtype).removeprefix("torch.")
    return {"shape": list(plain.shape), "dtype": dtype, "sha256": hashlib.sha256(raw).hexdigest()}


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(3, 4)
        self.norm = torch.nn.BatchNorm1d(4)


loralib = {
    "h.0.attn.query.lora_A": torch.randn(2, 6),
    "h.0.attn.query.lora_B": torch.randn(5, 2),
    "h.0.c_attn.lora_A": torch.randn(4, 6),
    "h.0.c_attn.lora_B": torch.randn(10, 2),
    "classifier.weight": torch.randn(3, 5),
}

# Newer versions refuse some of this without a word from the reader, so that all are read back with weights_only=False.
files = {
    "zip.pt": (values, {}),
    "legacy.bin": (values, {"_use_new_zipfile_serialization": False}),
    "protocol4.pt": (values, {"pickle_protocol": 4}),
    "module.pt": (Block().state_dict(), {}),
    "loralib.bin": (loralib, {}),
    "tensor.pt": (torch.arange(6.0).reshape(2, 3), {}),
}
manifest = {"torch": torch.__version__, "files": {}}
for name, (value, options) in files.items():
    torch.save(value, OUT / name, **options)
    manifest["files"][name] = {key or "tensor": facts(t) for key, t in flat(torch.load(OUT / name, weights_only=False))}
with zipfile.ZipFile(OUT / "zip.pt") as old, zipfile.ZipFile(OUT / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as new:
    for entry in old.infolist():
        # A fixed date, so that the file is the same every time.
        new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry.filename), zipfile.ZIP_DEFLATED)
manifest["files"]["deflated.pt"] = manifest["files"]["zip.pt"]

if len(sys.argv) > 1:
    lora = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
    manifest["lora-roberta"] = {key: facts(t) for key, t in flat(lora)}
(OUT / "manifest.json").write_text(json.dumps(manifest) + "\n")
