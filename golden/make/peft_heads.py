"""Adapters of classifiers and of masked models as PEFT saves them: golden/peft-heads/.

Bases are those of golden/text-heads (text_heads.py), and so are the inputs. Each folder has the files that PEFT wrote and
expected.json: logits and loss of the adapter, the losses of five steps of AdamW on all that is trained, and the number of
trained elements. Trained parameters are perturbed and alpha differs from r, so that no zero and no scale of one hides a
mistake. Computed in float64.
"""

import json
import pathlib
import shutil
import warnings

import peft
import torch
import torch.nn.functional as F
import transformers
from peft import (
    AdaLoraConfig,
    IA3Config,
    LoraConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

HERE = pathlib.Path(__file__).parent.parent
BASES = HERE / "text-heads"
OUT = HERE / "peft-heads"
LEARNING_RATE = 0.01
STEPS = 5
warnings.filterwarnings("ignore")

SEQ_CLS = {"task_type": "SEQ_CLS"}
LORA = {"r": 3, "lora_alpha": 7}
CASES = {
    "roberta-classes": {
        # Targets are PEFT's own.
        "lora": LoraConfig(**LORA, **SEQ_CLS),
        "dora": LoraConfig(**LORA, **SEQ_CLS, use_dora=True, target_modules=["query", "intermediate.dense"]),
        "bias-all": LoraConfig(**LORA, **SEQ_CLS, bias="all"),
        "prefix": PrefixTuningConfig(num_virtual_tokens=2, **SEQ_CLS),
    },
    "bert-classes": {
        "all-linear": LoraConfig(**LORA, **SEQ_CLS, target_modules="all-linear"),
        "ia3": IA3Config(**SEQ_CLS),
        "prompt": PromptTuningConfig(num_virtual_tokens=2, **SEQ_CLS),
        "adalora": AdaLoraConfig(init_r=4, target_r=2, total_step=10, lora_alpha=7, **SEQ_CLS),
    },
    "gpt2-classes": {"lora": LoraConfig(**LORA, **SEQ_CLS)},
    "qwen3-classes": {
        "norms": LoraConfig(**LORA, **SEQ_CLS, target_modules="all-linear", modules_to_save=["norm"]),
    },
    "roberta-masked": {
        "lora": LoraConfig(**LORA),
        "vera": VeraConfig(r=6, projection_prng_key=5, target_modules=["query", "dense"]),
    },
    "bert-masked": {"save-head": LoraConfig(**LORA, modules_to_save=["predictions"])},
}


def perturb(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator, dtype=torch.float32).to(p.dtype) * 0.3)


def make(base, name, config, seed):
    kind = AutoModelForMaskedLM if "masked" in base else AutoModelForSequenceClassification
    torch.manual_seed(seed)
    wrapped = get_peft_model(kind.from_pretrained(BASES / base), config).eval()
    perturb(wrapped, seed)
    folder = OUT / f"{base}-{name}"
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink()
    # Where the maker's files lie is nobody's business.
    path = folder / "adapter_config.json"
    written = json.loads(path.read_text())
    written["base_model_name_or_path"] = base
    if isinstance(written.get("target_modules"), list):
        written["target_modules"].sort()
    path.write_text(json.dumps(written, indent=2, sort_keys=True))

    batch = json.loads((BASES / base / "batch.json").read_text())
    inputs = {key: torch.tensor(batch[key]) for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}
    labels = torch.tensor(batch["labels"])
    exact = wrapped.double()

    def run():
        logits = exact(**inputs).logits
        return logits, F.cross_entropy(logits.flatten(0, -2), labels.flatten())

    logits, loss = run()
    trained = [p for p in exact.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        at_step = run()[1]
        at_step.backward()
        optimizer.step()
        losses.append(at_step.item())
    expected = {
        "base": base,
        "logits": [float(f"{v:.9g}") for v in logits.detach().flatten().tolist()],
        "loss": loss.item(),
        "learning_rate": LEARNING_RATE,
        "losses": losses,
        "trainable": wrapped.get_nb_trainable_parameters()[0],
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    seed = 100
    for base, configs in CASES.items():
        for name, config in configs.items():
            make(base, name, config, seed := seed + 1)
    versions = {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    (OUT / "manifest.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
