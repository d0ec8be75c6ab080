"""What PEFT's reduce_intruder_dimension makes of an adapter: golden/repair/.

base.safetensors, the weights of a module; adapter/, LoRA on it as PEFT saves it; expected.safetensors, the update of every
layer after the reduction, in float32 as PEFT computes it, by case; expected.json, the settings of the cases and the number of
intruders that PEFT says it found.

alpha differs from r, no two sizes are equal, one layer has no intruders and its factors must stay as they are, and one is tall.
"""

import json
import pathlib
import re
import shutil
import warnings

import peft
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.intruders import reduce_intruder_dimension
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parents[1] / "repair"
CASES = {
    "usual": dict(top_k=10, threshold_epsilon=0.5, mitigation_lambda=0.75),
    "removed": dict(top_k=10, threshold_epsilon=0.5, mitigation_lambda=0.0),
    "doubled": dict(top_k=10, threshold_epsilon=0.5, mitigation_lambda=2.0),
    "narrow": dict(top_k=2, threshold_epsilon=0.45, mitigation_lambda=0.3),
}
warnings.filterwarnings("ignore")


class Blocks(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = torch.nn.Linear(56, 40, bias=False)
        self.tall = torch.nn.Linear(40, 72, bias=False)
        self.calm = torch.nn.Linear(72, 48, bias=False)

    def forward(self, x):
        return self.calm(self.tall(self.wide(x)))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    torch.manual_seed(20261121)
    base = Blocks()
    save_file({name: p.detach().clone() for name, p in base.named_parameters()}, OUT / "base.safetensors")
    wrapped = get_peft_model(base, LoraConfig(r=4, lora_alpha=10, target_modules=["wide", "tall", "calm"]))
    with torch.no_grad():
        for name, p in wrapped.named_parameters():
            if "lora_B" in name:
                p.add_(torch.randn_like(p) * (0.001 if "calm" in name else 0.12))
    wrapped.peft_config["default"].target_modules = sorted(wrapped.peft_config["default"].target_modules)
    wrapped.save_pretrained(OUT / "adapter")
    (OUT / "adapter" / "README.md").unlink(missing_ok=True)
    (OUT / "adapter" / "adapter_model.safetensors").chmod(0o644)
    arrays, written = {}, {"torch": torch.__version__, "peft": peft.__version__, "cases": {}}
    for case, settings in CASES.items():
        said = []
        reduce_intruder_dimension(wrapped, new_adapter_name=case, logging_sink=said.append, **settings)
        counts = {}
        for line in said:
            found = re.match(r"base_model\.model\.(\w+): (?:Intruders: (\d+)|No intruders)", line)
            if found:
                counts[found[1]] = int(found[2] or 0)
        written["cases"][case] = settings | {"intruders": counts}
        for name, layer in wrapped.named_modules():
            if isinstance(layer, peft.tuners.lora.Linear):
                arrays[f"{case}.{name.removeprefix('base_model.model.')}"] = layer.get_delta_weight(case).detach().contiguous()
    save_file(arrays, OUT / "expected.safetensors")
    (OUT / "expected.safetensors").chmod(0o644)
    (OUT / "base.safetensors").chmod(0o644)
    (OUT / "expected.json").write_text(json.dumps(written, indent=2) + "\n")


main()
