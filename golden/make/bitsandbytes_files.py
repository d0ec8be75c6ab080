"""Writes golden/bitsandbytes/: what bitsandbytes (CPU) makes of weights, and checkpoints that it quantised.

`codes.json`: a short weight and its codes, constants and values, for nf4 and fp4, with and without double quantisation.
`nf4-double/`, `fp4/`, `int8/`: the model of golden/causal-lm/qwen2-tied with its linear layers quantised, in the tensors and
the `config.json` that transformers' `save_pretrained` writes for such a model (the tensors are those of bitsandbytes'
`QuantState.as_dict(packed=True)`; for int8 those of `int8_vectorwise_quant`). `expected.json` in each: token ids, and the
logits that transformers computes in float64 from the values that bitsandbytes decodes.
"""

import base64
import json
import pathlib
import shutil

import bitsandbytes
import bitsandbytes.functional as bnb
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

ROOT = pathlib.Path(__file__).parents[1]
OUT = ROOT / "bitsandbytes"
BASE = ROOT / "causal-lm" / "qwen2-tied"
SEED = 20261121
TOKENS = [[3, 8, 1, 20, 7, 5, 42, 11]]
VERSIONS = {name: module.__version__ for name, module in
            (("bitsandbytes", bitsandbytes), ("torch", torch), ("transformers", transformers))}


def is_layer(name: str) -> bool:
    return name.endswith("_proj.weight")


def four_bit(weight: torch.Tensor, kind: str, double: bool):
    codes, state = bnb.quantize_4bit(weight, quant_type=kind, compress_statistics=double, blocksize=64)
    return codes, state, bnb.dequantize_4bit(codes, state)


def codes_file() -> None:
    generator = torch.Generator().manual_seed(SEED)
    # 257 blocks and a short one: two blocks of constants. No two blocks have the same scale.
    count = 64 * 257 + 21
    weight = torch.randn(count, generator=generator) * 0.05
    weight[64:128] = 0
    cases = {}
    for kind in ("nf4", "fp4"):
        for double in (False, True):
            codes, state, values = four_bit(weight, kind, double)
            case = {"codes": bytes(codes.flatten().tolist()).hex(), "absmax": state.absmax.tolist()}
            if double:
                case |= {"scales": state.state2.absmax.tolist(), "offset": state.offset.item()}
            case["values_head"] = values[:300].tolist()
            case["sum"] = values.double().sum().item()
            cases[f"{kind}{'-double' if double else ''}"] = case
    body = {"versions": VERSIONS, "seed": SEED, "map": bnb.create_dynamic_map().tolist(), "cases": cases}
    # Little-endian float32.
    body["weight"] = base64.b64encode(weight.numpy().tobytes()).decode()
    (OUT / "codes.json").write_text(json.dumps(body))


def model(name: str, config: dict, quantize) -> None:
    folder = OUT / name
    folder.mkdir(parents=True)
    fields = json.loads((BASE / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**fields, "quantization_config": config}, indent=2) + "\n")
    tensors, values = {}, {}
    for key, weight in load_file(BASE / "model.safetensors").items():
        if is_layer(key):
            parts, values[key] = quantize(key, weight)
            tensors.update(parts)
        else:
            tensors[key] = values[key] = weight
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    network = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float64)
    network.load_state_dict({key: value.double() for key, value in values.items()}, strict=False)
    network.tie_weights()
    with torch.no_grad():
        logits = network(torch.tensor(TOKENS)).logits[0]
    (folder / "expected.json").write_text(
        json.dumps({"versions": VERSIONS, "tokens": TOKENS, "logits": logits.flatten().tolist()})
    )


def four_bit_model(name: str, kind: str, double: bool) -> None:
    def quantize(key: str, weight: torch.Tensor):
        codes, state, values = four_bit(weight, kind, double)
        packed = state.as_dict(packed=True)
        return {key: codes, **{f"{key}.{part}": value for part, value in packed.items()}}, values

    config = {
        "_load_in_4bit": True,
        "_load_in_8bit": False,
        "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_quant_type": kind,
        "bnb_4bit_use_double_quant": double,
        "llm_int8_skip_modules": None,
        "load_in_4bit": True,
        "load_in_8bit": False,
        "quant_method": "bitsandbytes",
    }
    model(name, config, quantize)


def eight_bit_model() -> None:
    def quantize(key: str, weight: torch.Tensor):
        codes, scales, _ = bnb.int8_vectorwise_quant(weight.half())
        stem = key.removesuffix(".weight")
        parts = {key: codes, f"{stem}.SCB": scales, f"{key}_format": torch.tensor(0, dtype=torch.uint8)}
        return parts, codes.double() * scales.double()[:, None] / 127

    config = {"load_in_4bit": False, "load_in_8bit": True, "llm_int8_threshold": 6.0, "quant_method": "bitsandbytes"}
    model("int8", config, quantize)


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    codes_file()
    four_bit_model("nf4-double", "nf4", True)
    four_bit_model("fp4", "fp4", False)
    eight_bit_model()
