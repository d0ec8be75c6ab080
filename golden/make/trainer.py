"""A LoRA run with transformers' Trainer and PEFT on one of the tiny models: losses, norms and learning rates of each step.

Writes golden/trainer/: the adapter that the run starts from (adapter/), the one that it ends with (trained/), and run.json
with the rows, the arguments and the log. Versions as in golden/make/causal_lm.py.
"""

import json
import pathlib

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

HERE = pathlib.Path(__file__).resolve().parent.parent
BASE = HERE / "causal-lm" / "qwen2-tied"
OUT = HERE / "trainer"
OUT.mkdir(exist_ok=True)
torch.manual_seed(7)
model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
vocab = model.config.vocab_size
peft_model = get_peft_model(
    model,
    LoraConfig(r=4, lora_alpha=10, target_modules=["q_proj", "v_proj", "down_proj"], rank_pattern={"v_proj": 3}, task_type="CAUSAL_LM"),
)
for name, parameter in peft_model.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(parameter, std=0.05)
peft_model.save_pretrained(OUT / "adapter")

rows = []
for i in range(7):
    length = 5 + (3 * i) % 7
    ids = torch.randint(0, vocab, (length,)).tolist()
    labels = [-100 if t < 1 + i % 3 else ids[t] for t in range(length)]
    rows.append({"inputIds": ids, "labels": labels})


def collate(batch):
    longest = max(len(row["inputIds"]) for row in batch)
    pad = lambda values, filler: values + [filler] * (longest - len(values))
    return {
        "input_ids": torch.tensor([pad(row["inputIds"], 0) for row in batch]),
        "labels": torch.tensor([pad(row["labels"], -100) for row in batch]),
        "attention_mask": torch.tensor([pad([1] * len(row["inputIds"]), 0) for row in batch]),
    }


class InOrder(Trainer):
    def _get_train_sampler(self, *_args):
        return SequentialSampler(self.train_dataset)


arguments = dict(
    per_device_train_batch_size=2, gradient_accumulation_steps=2, learning_rate=0.01, weight_decay=0.1, max_grad_norm=0.6,
    num_train_epochs=5, lr_scheduler_type="cosine", warmup_steps=3, logging_steps=1, seed=7,
)
trainer = InOrder(
    model=peft_model,
    args=TrainingArguments(output_dir="/tmp/trainer-golden", report_to="none", save_strategy="no", use_cpu=True, remove_unused_columns=False, **arguments),
    train_dataset=rows,
    data_collator=collate,
)
trainer.train()
peft_model.save_pretrained(OUT / "trained")
log = [{key: row[key] for key in ("step", "epoch", "loss", "grad_norm", "learning_rate")} for row in trainer.state.log_history if "loss" in row]
versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
(OUT / "run.json").write_text(json.dumps({"versions": versions, "arguments": arguments, "rows": rows, "log": log}, indent=1) + "\n")
for name in ("adapter", "trained"):
    (OUT / name / "README.md").unlink()
    config = OUT / name / "adapter_config.json"
    config.write_text(config.read_text().replace(f"{HERE.parent}/", ""))
for row in log:
    print(row)
