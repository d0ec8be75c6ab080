"""LoRA on an MLP and on a convolution by PEFT: outputs, every gradient, ten AdamW steps, merged weights: golden/lora.json.

PEFT leaves dilation out of the A of a convolution, so that it cannot judge ours there. B is perturbed and alpha differs
from r, so that no zero and no scale of one hides a mistake.
"""

import json
import pathlib

import peft
import torch
from peft import LoraConfig, get_peft_model
from peft_adapters_models import Conv, Mlp

torch.set_default_dtype(torch.float64)


def flat(tensors):
    return {name: {"shape": list(t.shape), "data": t.detach().flatten().tolist()} for name, t in tensors}


def run(model, x, y, targets, **config):
    torch.manual_seed(1)
    wrapped = get_peft_model(model, LoraConfig(target_modules=targets, **config), autocast_adapter_dtype=False)
    with torch.no_grad():
        for name, p in wrapped.named_parameters():
            if "lora_B" in name:
                p.copy_(torch.randn_like(p) * 0.1)
    result = {"config": config, "targets": targets, "x": flat([("x", x)])["x"], "y": y.tolist()}
    result["parameters"] = flat(wrapped.named_parameters())
    with wrapped.disable_adapter():
        result["base_logits"] = wrapped(x).flatten().tolist()
    logits = wrapped(x)
    result["logits"] = logits.flatten().tolist()
    loss = torch.nn.functional.cross_entropy(logits, y)
    loss.backward()
    result["gradients"] = flat((n, p.grad) for n, p in wrapped.named_parameters() if p.grad is not None)
    optimizer = torch.optim.AdamW([p for p in wrapped.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(wrapped(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    result["losses"] = losses
    result["trained"] = flat((n, p) for n, p in wrapped.named_parameters() if p.requires_grad)
    merged = wrapped.merge_and_unload()
    result["merged"] = flat(merged.named_parameters())
    return result


torch.manual_seed(0)
runs = {
    "mlp": run(Mlp(), torch.randn(9, 7), torch.randint(0, 5, (9,)), ["fc1", "fc3"], r=4, lora_alpha=10),
    "mlp rslora": run(Mlp(), torch.randn(3, 7), torch.randint(0, 5, (3,)), ["fc1", "fc2"], r=3, lora_alpha=5, use_rslora=True),
    "conv": run(Conv(), torch.randn(2, 3, 8, 6), torch.randint(0, 4, (2,)), ["conv1", "fc"], r=2, lora_alpha=3),
}
out = pathlib.Path(__file__).parent.parent / "lora.json"
out.write_text(json.dumps({"torch": torch.__version__, "peft": peft.__version__, "seed": 0, "runs": runs}))
