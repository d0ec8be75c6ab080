"""Writes golden/peft-prompts/: what PEFT computes with prompts and prefixes where rows are padded on the left.

A folder is a case: `adapter_config.json` and `adapter_model.safetensors`, unless `expected.json` has `adapter`, a folder of
golden/peft-methods with them; `base`, a folder of golden/causal-lm; `input_ids` and `attention_mask`, rows padded on the left;
`logits` of the last two tokens of each row, in float64 from float32 files; `generated`: the tokens that greedy search
adds to each row alone. (In a padded batch PEFT counts the padding as positions between a prompt and the tokens, so that what it
generates depends on what else is in the batch.)
"""

import json
import pathlib
import shutil
import warnings

import peft
import torch
import transformers
from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig
from peft_methods_rig import BASES, GOLDEN, base_model, save, wrap

OUT = GOLDEN / "peft-prompts"
# GPT-2's base has 13 positions: 5 virtual tokens, 4 of the prompt, and those of the new ones but the last.
NEW_TOKENS = {"gpt2": 5}
LENGTHS = {"gpt2": (4, 3, 2)}
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()


def inputs(vocabulary, lengths):
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(1, vocabulary, (3, lengths[0]), generator=generator)
    mask = torch.tensor([[int(i >= lengths[0] - count) for i in range(lengths[0])] for count in lengths])
    return tokens, mask


def generate(model, row, options):
    found = model.generate(input_ids=row, attention_mask=torch.ones_like(row), output_scores=True, return_dict_in_generate=True, **options)
    # Greedy search must not hang on rounding.
    for scores in found.scores:
        best = scores.topk(2).values
        assert ((best[:, 0] - best[:, 1]) > 1e-3).all(), best
    return found.sequences[0, -options["max_new_tokens"] :]


def case(name, base, folder, written):
    model = PeftModel.from_pretrained(base_model(base), folder).eval().double()
    tokens, mask = inputs(43, LENGTHS.get(base, (7, 5, 3)))
    options = {"max_new_tokens": NEW_TOKENS.get(base, 9), "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    with torch.no_grad():
        logits = model(input_ids=tokens, attention_mask=mask).logits[:, -2:]
        alone = [generate(model, row[seen.bool()][None], options) for row, seen in zip(tokens, mask)]
        padded = model.generate(input_ids=tokens, attention_mask=mask, **options)[:, -options["max_new_tokens"] :]
    generated = torch.stack(alone)
    print(name, "padding changes", (padded != generated).any(1).tolist())
    # Five steps of a tiny model need not differ.
    assert base == "gpt2" or len({tuple(row) for row in generated.tolist()}) > 1, generated
    written |= {"base": base, "input_ids": tokens.tolist(), "attention_mask": mask.tolist()}
    written |= {"logits": [[[round(x, 9) for x in row] for row in rows] for rows in logits.tolist()], "generated": generated.tolist()}
    (OUT / name).mkdir(parents=True, exist_ok=True)
    (OUT / name / "expected.json").write_text(json.dumps(written) + "\n")
    print(name, generated.tolist())


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for name, base in (
        ("prefix", "qwen2-tied"),
        ("prefix-gpt2", "gpt2"),
        ("prompt", "qwen2-tied"),
        ("prompt-gpt2", "gpt2"),
        ("p-tuning-lstm", "qwen2-tied"),
    ):
        case(name, base, GOLDEN / "peft-methods" / name, {"adapter": name})
    for name, base, config, seed in (
        ("prefix-qwen3", "qwen3", PrefixTuningConfig(num_virtual_tokens=3), 5),
        ("prefix-window", "mistral-window", PrefixTuningConfig(num_virtual_tokens=3), 8),
        ("prompt-window", "qwen2-window", PromptTuningConfig(num_virtual_tokens=4), 9),
        ("prompt-llama", "llama-llama3-rope", PromptTuningConfig(num_virtual_tokens=4), 6),
    ):
        save(wrap(base, config, seed), OUT / name)
        case(name, base, OUT / name, {})
    versions = {"peft": peft.__version__, "torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    (OUT / "manifest.json").write_text(json.dumps(versions) + "\n")


main()
