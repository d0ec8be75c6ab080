"""`heads_read_ours.py FOLDER`: loads what dist/scripts/text-heads.js wrote with transformers and PEFT, and compares logits."""

import json
import pathlib
import sys
import warnings

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

warnings.filterwarnings("ignore")
ROOT = pathlib.Path(sys.argv[1])


def open_model(name):
    kind = AutoModelForMaskedLM if name.endswith("masked") else AutoModelForSequenceClassification
    model, info = kind.from_pretrained(ROOT / name, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return model.eval()


for folder in sorted(ROOT.iterdir()):
    expected = json.loads((folder / "expected.json").read_text())
    model = open_model(expected.get("base", folder.name))
    names = {"inputIds": "input_ids", "attentionMask": "attention_mask", "tokenTypeIds": "token_type_ids"}
    inputs = {theirs: torch.tensor(expected[ours]) for ours, theirs in names.items() if ours in expected}
    # What is computed at padding is nobody's business.
    counted = inputs["attention_mask"].bool() if len(expected["dims"]) == 3 else slice(None)
    logits = torch.tensor(expected["logits"]).reshape(expected["dims"])[counted]
    with torch.no_grad():
        base = model(**inputs).logits[counted]
        said = ""
        if "base" in expected:
            loaded = PeftModel.from_pretrained(model, folder).eval()
            theirs = loaded(**inputs).logits[counted]
            effect = (base - logits).abs().max().item()
            assert effect > 1e-2, effect
            loaded.save_pretrained(folder / "again")
            files = [load_file(at / "adapter_model.safetensors") for at in (folder, folder / "again")]
            shadows = {key for key in files[1] if ".modules_to_save." in key or ".original_module." in key}
            assert files[0].keys() == files[1].keys() - shadows, files[0].keys() ^ files[1].keys()
            assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])
            said = f", {type(loaded).__name__}, effect of the adapter {effect:.2f}"
        else:
            theirs = base
        worst = ((theirs - logits).abs().max() / logits.abs().max()).item()
    print(f"{folder.name}: {type(model).__name__}, largest difference {worst:.1e}{said}")
    assert worst < 1e-5, worst
