"""Adapters as PEFT saves them, with the base weights, an input and the logits that belong to them: golden/peft/.

B is perturbed and alpha differs from r, so that no zero and no scale of one hides a mistake. Weights are float32 numbers
(in one case bfloat16 ones); the logits are computed from them in float64.
"""

import copy
import json
import pathlib
import shutil

import peft
import torch
from peft import LoraConfig, get_peft_model
from peft_adapters_models import Conv, Mlp
from safetensors.torch import load_file, save_file

OUT = pathlib.Path(__file__).parent.parent / "peft"


def flat(tensors):
    return {name: {"shape": list(t.shape), "data": t.detach().flatten().tolist()} for name, t in tensors}


def save(name, model, x, dtype=torch.float32, **config):
    base = flat(model.named_parameters())
    wrapped = get_peft_model(model, LoraConfig(**config), autocast_adapter_dtype=False)
    with torch.no_grad():
        for key, p in wrapped.named_parameters():
            if "lora_B" in key:
                p.copy_(torch.randn_like(p) * 0.1)
            if "lora_" in key:
                p.copy_(p.to(dtype))
    wrapped.save_pretrained(OUT / name)
    (OUT / name / "README.md").unlink()
    if dtype != torch.float32:
        weights = OUT / name / "adapter_model.safetensors"
        save_file({k: v.to(dtype) for k, v in load_file(weights).items()}, weights, metadata={"format": "pt"})
    wrapped.eval()
    exact = copy.deepcopy(wrapped).double()
    expected = {"base": base, "x": flat([("x", x)])["x"], "logits": exact(x.double()).flatten().tolist()}
    (OUT / name / "expected.json").write_text(json.dumps(expected))


shutil.rmtree(OUT, ignore_errors=True)
torch.manual_seed(0)
save("mlp", Mlp(), torch.randn(9, 7), target_modules=["fc1", "fc3"], r=4, lora_alpha=10, init_lora_weights="gaussian")
save("mlp-rslora", Mlp(), torch.randn(3, 7), target_modules=r"fc[12]", r=3, lora_alpha=5, use_rslora=True, lora_dropout=0.1)
save("mlp-bfloat16", Mlp(), torch.randn(4, 7), torch.bfloat16, target_modules=["fc2"], r=2, lora_alpha=7)
save("conv", Conv(), torch.randn(2, 3, 8, 6), target_modules=["conv1", "fc"], r=2, lora_alpha=3)
(OUT / "manifest.json").write_text(json.dumps({"torch": torch.__version__, "peft": peft.__version__, "seed": 0}))
