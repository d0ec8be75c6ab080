"""`peft_reads_ours_methods.py FOLDER`: loads adapters that we wrote with PEFT, and compares logits.

FOLDER has one folder per case of golden/peft-methods, with `adapter_config.json`, `adapter_model.safetensors` and
`expected.json`: `logits` as {"shape", "data"}, rows of the vocabulary's size for every token, with or without the virtual
tokens of a prompt; `base` (a folder of golden/causal-lm) and `input_ids`, `attention_mask`, `position_ids` where they are not
those of the case. A case whose name is not in golden/peft-methods has to say its base and inputs. Padding is not compared.
"""

import json
import pathlib
import sys
import warnings

import torch
from peft import PeftModel
from peft_methods_rig import BASES, GOLDEN, loftq_on_cpu
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

INPUTS = ("input_ids", "attention_mask", "position_ids")
# Three blocks of float32, in another order of sums.
ROUNDING = 1e-5
# What PEFT says about every model of this kind is not about the files.
KNOWN = (
    "tie_word_embeddings", "fan_in_fan_out", "has no bias", "deprecated", "unclosed", "proceed at your own risk", "tied",
    "to not load vera_A", "to not save vera_A", "rank_pattern keys did not match",
)  # fmt: skip


def read(folder):
    case = GOLDEN / "peft-methods" / folder.name / "expected.json"
    known = json.loads(case.read_text()) if case.exists() else {}
    ours = json.loads((folder / "expected.json").read_text())
    # Inputs go together.
    inputs = ours if "input_ids" in ours else known
    return ours.get("base", known.get("base")), {key: torch.tensor(inputs[key]) for key in INPUTS if key in inputs}, ours["logits"]


def compare(folder):
    base, inputs, expected = read(folder)
    model = AutoModelForCausalLM.from_pretrained(BASES / base, attn_implementation="sdpa").eval()
    tokens = inputs["input_ids"]
    mask = inputs.setdefault("attention_mask", torch.ones_like(tokens))
    logits = torch.tensor(expected["data"]).reshape(len(tokens), -1, model.config.vocab_size)[:, -tokens.shape[1] :]
    if folder.name.startswith("loftq"):
        loftq_on_cpu()
    with torch.no_grad():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loaded = PeftModel.from_pretrained(model, folder).eval()
        if loaded.active_peft_config.is_prompt_learning:
            # PEFT counts them itself.
            inputs.pop("position_ids", None)
        theirs = loaded(**inputs).logits[:, -tokens.shape[1] :]
        with loaded.disable_adapter():
            plain = loaded(**inputs).logits
    counts = mask.bool()
    worst = ((theirs - logits)[counts].abs().max() / logits[counts].abs().max()).item()
    effect = (plain - logits)[counts].abs().max().item()
    said = [str(w.message) for w in caught if w.category is not DeprecationWarning]
    strange = [message for message in said if not any(part in message for part in KNOWN)]
    changed = again(loaded, folder)
    print(f"{folder.name}: largest difference {worst:.1e}, effect of the adapter {effect:.2f}, settings changed: {changed}")
    # Where the decomposition is a random one, PEFT finds another base each time that it loads the adapter.
    random = "_niter_" in str(getattr(loaded.active_peft_config, "init_lora_weights", ""))
    assert (random or worst < ROUNDING) and effect > 0.01, (worst, effect)
    assert not strange, strange


def again(loaded, folder):
    """What PEFT saves again has the names, shapes and values that we gave it. The names of settings that it writes otherwise."""
    loaded.save_pretrained(folder / "again")
    ours, theirs = (load_file(at / "adapter_model.safetensors") for at in (folder, folder / "again"))
    shadows = {key for key in theirs if ".modules_to_save." in key or ".original_module." in key}
    assert ours.keys() == theirs.keys() - shadows, ours.keys() ^ theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    configs = [json.loads((at / "adapter_config.json").read_text()) for at in (folder, folder / "again")]
    return {key for key in configs[0].keys() | configs[1].keys() if setting(configs[0], key) != setting(configs[1], key)}


def setting(config, key):
    """PEFT writes sets in any order."""
    value = config.get(key, ...)
    return sorted(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value


wrong = {}
for folder in sorted(path.parent for path in pathlib.Path(sys.argv[1]).glob("*/adapter_config.json")):
    try:
        compare(folder)
    except (AssertionError, ImportError, KeyError, RuntimeError, TypeError, ValueError) as error:
        wrong[folder.name] = error
        print(f"{folder.name}: {type(error).__name__}: {error}")
sys.exit(f"wrong: {', '.join(wrong)}" if wrong else 0)
