"""`peft_reads_ours.py FOLDER`: loads the adapters that dist/scripts/peft-adapters.js wrote with PEFT, and compares logits."""

import json
import pathlib
import sys
import warnings

import torch
from peft import PeftModel
from peft_adapters_models import Conv, Mlp

warnings.simplefilter("error")


def tensor(value):
    return torch.tensor(value["data"]).reshape(value["shape"])


for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    expected = json.loads((folder / "expected.json").read_text())
    model = Conv() if folder.name == "conv" else Mlp()
    model.load_state_dict({name: tensor(value) for name, value in expected["base"].items()})
    x, logits = tensor(expected["x"]), tensor(expected["logits"])
    base = model(x)
    loaded = PeftModel.from_pretrained(model, folder).eval()
    # Three layers of float32, in another order of sums.
    worst = (loaded(x) - logits).abs().max().item()
    effect = (base - logits).abs().max().item()
    print(f"{folder.name}: largest difference {worst:.1e}, effect of the adapter {effect:.2f}")
    assert worst < 1e-5 < effect
