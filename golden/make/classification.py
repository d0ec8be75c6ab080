"""A classifier trained with transformers' Trainer and PEFT (task_type SEQ_CLS), and texts and pairs as tokenizers give them.

Writes golden/classification/. For a decoder (qwen2/, on golden/causal-lm/qwen2-tied) and an encoder (roberta/, on
golden/text-heads/roberta-classes): the adapter that the run starts from (adapter/), the one that it ends with (trained/), and
run.json with the rows, the arguments, the log and what an evaluation of the result gives. And pairs.json with texts, pairs and
their tokens under several limits. Versions as in golden/make/causal_lm.py.
"""

import json
import pathlib

import numpy
import peft
import tokenizers
import torch
import transformers
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch.utils.data import SequentialSampler
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast, Trainer, TrainingArguments

HERE = pathlib.Path(__file__).resolve().parent.parent
BASE = HERE / "causal-lm" / "qwen2-tied"
OUT = HERE / "classification"
OUT.mkdir(exist_ok=True)
CLASSES = 3


def rows(count, vocab, pad):
    made = []
    for i in range(count):
        # transformers takes the last token that does not fill rows for the end of a text.
        others = torch.tensor([id for id in range(vocab) if id != pad])
        ids = others[torch.randint(0, len(others), (3 + (5 * i) % 8,))].tolist()
        made.append({"inputIds": ids, "label": int(torch.randint(0, CLASSES, (1,)))})
    return made


class InOrder(Trainer):
    def _get_train_sampler(self, *_args):
        return SequentialSampler(self.train_dataset)


def metrics(prediction):
    said = numpy.argmax(prediction.predictions, axis=-1)
    right = prediction.label_ids
    f1 = []
    for c in range(CLASSES):
        hits = int(((said == c) & (right == c)).sum())
        both = int((said == c).sum() + (right == c).sum())
        if both > 0:
            f1.append(2 * hits / both)
    return {"accuracy": float((said == right).mean()), "f1": float(numpy.mean(f1))}


# Without accumulation: transformers 5.23 adds the mean losses of a classifier's micro-batches up, and does not divide them.
ARGUMENTS = dict(
    per_device_train_batch_size=4, per_device_eval_batch_size=5, learning_rate=0.02, weight_decay=0.1, max_grad_norm=0.6,
    num_train_epochs=5, lr_scheduler_type="linear", warmup_steps=2, logging_steps=1, seed=7,
)
VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__, "tokenizers": tokenizers.__version__}


def run(name, base, pad, head, **lora):
    out = OUT / name
    out.mkdir(exist_ok=True)
    torch.manual_seed(11)
    model = AutoModelForSequenceClassification.from_pretrained(base, dtype=torch.float32, num_labels=CLASSES)
    model.config.pad_token_id = pad
    peft_model = get_peft_model(model, LoraConfig(r=4, lora_alpha=10, task_type="SEQ_CLS", **lora))
    for key, parameter in peft_model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.05)
        if f"{head}.modules_to_save" in key:
            torch.nn.init.normal_(parameter, std=0.3)
    peft_model.save_pretrained(out / "adapter")
    vocab = model.config.vocab_size
    train, evaluation = rows(8, vocab, pad), rows(13, vocab, pad)

    def collate(batch):
        longest = max(len(row["inputIds"]) for row in batch)
        fill = lambda values, filler: values + [filler] * (longest - len(values))
        return {
            "input_ids": torch.tensor([fill(row["inputIds"], pad) for row in batch]),
            "attention_mask": torch.tensor([fill([1] * len(row["inputIds"]), 0) for row in batch]),
            "labels": torch.tensor([row["label"] for row in batch]),
        }

    trainer = InOrder(
        model=peft_model,
        args=TrainingArguments(
            output_dir="/tmp/classification-golden", report_to="none", save_strategy="no", use_cpu=True,
            remove_unused_columns=False, label_names=["labels"], **ARGUMENTS,
        ),
        train_dataset=train, eval_dataset=evaluation, data_collator=collate, compute_metrics=metrics,
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    logits = trainer.predict(evaluation).predictions
    peft_model.save_pretrained(out / "trained")
    keys = ("step", "epoch", "loss", "grad_norm", "learning_rate")
    log = [{key: row[key] for key in keys} for row in trainer.state.log_history if "loss" in row]
    kept = lambda found: {key: found[key] for key in ("eval_loss", "eval_accuracy", "eval_f1")}
    found = {
        "versions": VERSIONS, "arguments": ARGUMENTS, "classes": CLASSES, "rows": train, "evaluation": evaluation, "log": log,
        "before": kept(before), "after": kept(after), "logits": logits.astype(float).tolist(),
    }
    (out / "run.json").write_text(json.dumps(found, indent=1) + "\n")
    for folder in ("adapter", "trained"):
        (out / folder / "README.md").unlink()
        config = out / folder / "adapter_config.json"
        config.write_text(config.read_text().replace(f"{HERE.parent}/", ""))
    for row in log:
        print(name, row)
    print(name, kept(before), kept(after))


run("qwen2", BASE, 0, "score", target_modules=["q_proj", "v_proj", "down_proj"], rank_pattern={"v_proj": 3})
run("roberta", HERE / "text-heads" / "roberta-classes", 3, "classifier", target_modules=["query", "value", "intermediate.dense"])

# Texts and pairs: a tokenizer with BERT's template, one with RoBERTa's, and one without any, as decoders have.
WORDS = "a b c d e f g h one two three four five six seven eight . ?".split()
TEMPLATES = {
    "bert": dict(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special=["[CLS]", "[SEP]"]),
    "roberta": dict(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special=["<s>", "</s>"]),
    "bos": dict(single="<s> $A", pair="<s> $A <s>:1 $B:1", special=["<s>"]),
    "plain": None,
}
TEXTS = [
    ["a b c", None],
    ["a b c d e f g h", "one two"],
    ["one two", "a b c d e f g h"],
    ["a b c d e", "one two three four five"],
    ["a a a a a a a", "a a a"],
    ["one two three four five six seven eight . ?", None],
    ["a b c d e f", "one two three four five six seven"],
]
files = {}
for kind, template in TEMPLATES.items():
    special = ["[PAD]", "[UNK]"] + (template["special"] if template else [])
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(special + WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    if template is not None:
        ids = [(token, tokenizer.token_to_id(token)) for token in template["special"]]
        tokenizer.post_processor = processors.TemplateProcessing(single=template["single"], pair=template["pair"], special_tokens=ids)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    cases = []
    for text, pair in TEXTS:
        for limit in (6, 7, 8, 9, 11, 64):
            found = fast(text, pair, truncation="longest_first", max_length=limit, return_token_type_ids=True)
            cases.append({"text": text, "pair": pair, "limit": limit, "ids": found["input_ids"], "types": found["token_type_ids"]})
    files[kind] = {"tokenizer": json.loads(tokenizer.to_str()), "cases": cases}
(OUT / "pairs.json").write_text(json.dumps({"versions": VERSIONS, "files": files}) + "\n")
