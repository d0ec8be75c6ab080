"""`peft_reads_ours.py FOLDER`: loads the adapters that dist/scripts/peft-adapters.js wrote with PEFT, and compares logits."""

import json
import pathlib
import sys
import warnings

import torch
from peft import PeftModel
from peft_adapters_models import Conv, Mlp
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

GOLDEN = pathlib.Path(__file__).parent.parent / "peft-language"


def tensor(value):
    return torch.tensor(value["data"]).reshape(value["shape"])


def open_model(folder, expected):
    if "input_ids" in expected:
        model = AutoModelForCausalLM.from_pretrained(GOLDEN / folder.name.split("-")[0]).eval()
        return model, lambda m: m(input_ids=torch.tensor(expected["input_ids"])).logits.flatten(0, 1)
    model = Conv() if folder.name == "conv" else Mlp()
    model.load_state_dict({name: tensor(value) for name, value in expected["base"].items()})
    return model, lambda m: m(tensor(expected["x"]))


for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    expected = json.loads((folder / "expected.json").read_text())
    model, run = open_model(folder, expected)
    logits = tensor(expected["logits"])
    with torch.no_grad():
        base = run(model)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loaded = PeftModel.from_pretrained(model, folder).eval()
        # Three layers of float32, in another order of sums.
        worst = ((run(loaded) - logits).abs().max() / logits.abs().max()).item()
        effect = (base - logits).abs().max().item()
    # What PEFT says about every model of this kind is not about the files.
    said = [str(w.message) for w in caught if w.category is not DeprecationWarning]
    known = ("tie_word_embeddings", "fan_in_fan_out", "has no bias", "deprecated", "unclosed")
    strange = [message for message in said if not any(part in message for part in known)]
    # What PEFT saves again has the names, shapes and values that we gave it.
    loaded.save_pretrained(folder / "again")
    ours, theirs = (load_file(at / "adapter_model.safetensors") for at in (folder, folder / "again"))
    shadows = {key for key in theirs if ".modules_to_save." in key or ".original_module." in key}
    assert ours.keys() == theirs.keys() - shadows, ours.keys() ^ theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    configs = [json.loads((at / "adapter_config.json").read_text()) for at in (folder, folder / "again")]
    changed = {k for k in configs[0].keys() | configs[1].keys() if configs[0].get(k, ...) != configs[1].get(k, ...)}
    print(f"{folder.name}: largest difference {worst:.1e}, effect of the adapter {effect:.2f}, settings changed: {changed}")
    assert worst < 1e-5 < effect and not strange, strange
