"""Writes golden/peft-conv/: adapters of LoHa, LoKr and (IA)³ on a convolution and a linear layer.

A folder has the adapter as from `save_pretrained` (every parameter of it with noise, so that none is 0 or 1) and
`expected.json`: the base, an input with labels, logits, loss, gradients and the logits of the merged model, computed in
float64 from float32 numbers.

PEFT 0.21 has its own derivative of LoHa's factors that keep the kernel apart, and that of w1_a and w2_a is made of the other
product's factors. The gradients here are PyTorch's, of the same forward pass; `assert` says that the two differ.
"""

import copy
import json
import pathlib
import shutil

import torch
from peft import IA3Config, LoHaConfig, LoKrConfig, get_peft_model
from peft.tuners.loha import layer as loha_layer
from peft_adapters_models import Conv

official_product = loha_layer.make_weight_cp
OUT = pathlib.Path(__file__).parents[1] / "peft-conv"
TARGETS = ["conv1", "fc"]
CASES = {
    "loha": LoHaConfig(r=3, alpha=7, target_modules=TARGETS),
    "loha-effective": LoHaConfig(r=2, alpha=5, use_effective_conv2d=True, target_modules=TARGETS),
    "lokr": LoKrConfig(r=1, alpha=3, target_modules=TARGETS),
    "lokr-whole": LoKrConfig(r=4, alpha=9, decompose_factor=3, target_modules=TARGETS),
    "lokr-effective": LoKrConfig(
        r=1, alpha=2.5, use_effective_conv2d=True, decompose_both=True, decompose_factor=2, target_modules=TARGETS
    ),
    "ia3": IA3Config(target_modules=TARGETS, feedforward_modules=["fc"]),
    "ia3-inputs": IA3Config(target_modules=TARGETS, feedforward_modules=["conv1"]),
}


def product(t1, w1a, w1b, t2, w2a, w2b, scale):
    rebuild = [torch.einsum("ijkl,jr,ip->prkl", t, b, a) for t, a, b in ((t1, w1a, w1b), (t2, w2a, w2b))]
    return rebuild[0] * rebuild[1] * scale


def gradients_of(exact, x, labels):
    exact.zero_grad()
    logits = exact(x)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    named = {key.replace(".default", ""): p.grad.clone() for key, p in exact.named_parameters() if p.requires_grad}
    return logits, loss, named


def flat(x):
    return {"shape": list(x.shape), "data": x.detach().flatten().tolist()}


def save(name, config):
    torch.manual_seed(31)
    base = Conv()
    weights = {key: flat(p) for key, p in base.named_parameters()}
    wrapped = get_peft_model(base, config)
    with torch.no_grad():
        for p in wrapped.parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.2)
    for key in ("target_modules", "feedforward_modules"):
        if hasattr(config, key):
            setattr(config, key, sorted(getattr(config, key)))
    wrapped.save_pretrained(OUT / name)
    (OUT / name / "README.md").unlink()
    (OUT / name / "adapter_model.safetensors").chmod(0o644)
    exact = copy.deepcopy(wrapped).double().eval()
    x, labels = torch.randn(4, 3, 8, 6), torch.tensor([2, 0, 3, 2])
    theirs, _, official = gradients_of(exact, x.double(), labels)
    loha_layer.make_weight_cp = product
    logits, loss, gradients = gradients_of(exact, x.double(), labels)
    assert torch.equal(theirs, logits) or (theirs - logits).abs().max() < 1e-12
    wrong = [key for key in gradients if (gradients[key] - official[key]).abs().max() > 1e-6 * gradients[key].abs().max()]
    assert [key.rpartition(".")[2] for key in wrong] == (["hada_w1_a", "hada_w2_a"] if name == "loha-effective" else []), wrong
    loha_layer.make_weight_cp = official_product
    gradients = {key: flat(g) for key, g in gradients.items()}
    merged = copy.deepcopy(exact).merge_and_unload()(x.double())
    assert (merged - logits).abs().max() < 1e-10 and (Conv.forward(Conv(), x) - logits).abs().max() > 0.1
    expected = {"base": weights, "x": flat(x), "labels": labels.tolist(), "logits": flat(logits), "loss": loss.item()}
    (OUT / name / "expected.json").write_text(json.dumps(expected | {"gradients": gradients}) + "\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for name, config in CASES.items():
        save(name, config)


if __name__ == "__main__":
    main()
