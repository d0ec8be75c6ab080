"""Writes golden/text-heads/: tiny models that predict masked tokens or classify texts, and what transformers computes.

For each, as in causal_lm.py: `config.json` and `model.safetensors`, as from `save_pretrained`; `batch.json`: inputs, labels,
loss, and the losses of ten steps of AdamW on every parameter; `expected.safetensors`: the output of every block, the logits,
and the gradient of every parameter. Weights are float32 numbers; everything is computed from them in float64.

For masked models also `pseudo.json`: texts, and for each the sum of log p of its tokens, each masked in turn.

No two sizes are alike, heads are no power of two, padding is on either side, kinds of tokens change within rows, and the
padding token is not the usual one.
"""

import copy
import json
import math
import pathlib
import shutil

import torch
import torch.nn.functional as F
import transformers
from causal_lm import LEARNING_RATE, LLAMA_LIKE, STEPS, WEIGHT_DECAY
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

SEED = 20260301
OUT = pathlib.Path(__file__).parents[1] / "text-heads"
CLASSES = 3
PAD = 3
# Ids of what stands at both ends of a text, and in the place of a masked token.
FIRST, LAST, MASK = 5, 8, 11

ENCODER = {
    "vocab_size": 43,
    "hidden_size": 20,
    "intermediate_size": 28,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "layer_norm_eps": 1e-5,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": PAD,
    "bos_token_id": None,
    "eos_token_id": None,
}
BERT = {"model_type": "bert", **ENCODER, "max_position_embeddings": 13, "type_vocab_size": 2}
# Four rows of the table are never positions of tokens.
ROBERTA = {"model_type": "roberta", **ENCODER, "max_position_embeddings": 17, "type_vocab_size": 1}
DECODER = {**LLAMA_LIKE, "num_hidden_layers": 2, "pad_token_id": PAD}
GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 43,
    "n_embd": 20,
    "n_head": 5,
    "n_layer": 2,
    "n_inner": 36,
    "n_positions": 13,
    "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": PAD,
}
CASES = {
    "bert-masked": {**BERT, "hidden_act": "gelu_new"},
    "bert-masked-untied": {**BERT, "tie_word_embeddings": False},
    "roberta-masked": {**ROBERTA, "hidden_act": "relu"},
    "xlm-roberta-masked": {**ROBERTA, "model_type": "xlm-roberta"},
    "bert-classes": BERT,
    "roberta-classes": ROBERTA,
    "qwen2-classes": {**DECODER, "model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3-classes": {**DECODER, "model_type": "qwen3"},
    "llama-classes": {**DECODER, "model_type": "llama"},
    "mistral-classes": {**DECODER, "model_type": "mistral", "sliding_window": 3},
    "gpt2-classes": GPT2,
}


def scatter(model, generator):
    """Random weights that give every activation a size near 1."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() == 2:
                embeds = "embed" in name or "wte" in name or "wpe" in name
                fan_in = p.shape[0] if "c_" in name else p.shape[1]
                p.copy_(noise * (0.5 if embeds else 1.2 / math.sqrt(fan_in)))
            else:
                p.copy_(noise * 0.2 + (1.0 if name.endswith("weight") else 0.0))


def batch(name, config, generator):
    """Three rows of 11 tokens: a full one, one padded on the right, one on the left, but where the first token counts."""
    rows, length = 3, 11
    words = [token for token in range(config.vocab_size) if token != PAD]
    tokens = torch.tensor(words)[torch.randint(0, len(words), (rows, length), generator=generator)]
    mask = torch.ones(rows, length, dtype=torch.long)
    mask[1, 7:] = 0
    # torch keeps the padding token's row of a table from learning, which matters only where that token is the first.
    first = "classes" in name and config.model_type in ("bert", "roberta")
    mask[2, slice(9, None) if first else slice(0, 4)] = 0
    tokens = tokens.masked_fill(mask == 0, PAD)
    inputs = {"input_ids": tokens, "attention_mask": mask}
    if config.model_type == "bert":
        types = torch.zeros_like(tokens)
        types[0, 6:] = 1
        types[1, 2:5] = 1
        inputs["token_type_ids"] = types
    if "masked" in name:
        chosen = torch.rand(rows, length, generator=generator) < 0.3
        # The first and the last place too, which have no neighbour.
        chosen[0, 0] = chosen[0, -1] = True
        inputs["labels"] = torch.randint(0, config.vocab_size, (rows, length), generator=generator).masked_fill(
            (mask == 0) | ~chosen, -100
        )
        inputs["input_ids"] = tokens.masked_fill(chosen & (mask == 1), MASK)
    else:
        inputs["labels"] = torch.tensor([1, 0, 2])
    return inputs


def body_of(model):
    return getattr(model, model.base_model_prefix)


def blocks_of(body):
    for path in ("encoder.layer", "h", "layers"):
        found = body
        for part in path.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found
    raise LookupError(type(body))


def loss_of(logits, labels):
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())


def pseudo(model, generator):
    """Texts of uneven lengths with special tokens at both ends, and the log p of each of the others, masked in turn."""
    texts = []
    for length in (4, 7, 3):
        middle = torch.randint(12, 43, (length,), generator=generator)
        ids = torch.cat([torch.tensor([FIRST]), middle, torch.tensor([LAST])])
        total = 0.0
        for place in range(1, length + 1):
            masked = ids.clone()
            masked[place] = MASK
            with torch.no_grad():
                logits = model(input_ids=masked[None]).logits[0, place]
            total += F.log_softmax(logits, -1)[ids[place]].item()
        texts.append({"input_ids": ids.tolist(), "tokens": length, "pll": total})
    return {"mask_token_id": MASK, "special_token_ids": [FIRST, LAST, MASK, PAD], "texts": texts}


def make(name, settings, generator):
    settings = dict(settings)
    masked = "masked" in name
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    if not masked:
        config.id2label = {i: f"class {i}" for i in range(CLASSES)}
        config.label2id = {f"class {i}": i for i in range(CLASSES)}
    kind = AutoModelForMaskedLM if masked else AutoModelForSequenceClassification
    model = kind.from_config(config, attn_implementation="sdpa")
    scatter(model, generator)
    folder = OUT / name
    model.save_pretrained(folder)

    # Dropout is zero; `train` would not change a number.
    exact = copy.deepcopy(model).double().eval()
    inputs = batch(name, config, generator)
    states = []
    hooks = [
        block.register_forward_hook(lambda _m, _i, out: states.append(out[0] if isinstance(out, tuple) else out))
        for block in blocks_of(body_of(exact))
    ]
    result = exact(**inputs)
    loss = loss_of(result.logits, inputs["labels"])
    torch.testing.assert_close(result.loss.double(), loss, rtol=1e-6, atol=1e-6)
    for hook in hooks:
        hook.remove()
    loss.backward()
    arrays = {"logits": result.logits} | {f"block.{i}": x for i, x in enumerate(states)}
    # By the names that are stored. One has no gradient: a bias that a decoder with one of its own does not use.
    named = dict(exact.named_parameters(remove_duplicate=False))
    stored = load_file(folder / "model.safetensors")
    arrays |= {f"gradient.{key}": named[key].grad for key in stored if named[key].grad is not None}
    untrained = copy.deepcopy(exact)
    optimizer = torch.optim.AdamW(exact.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        at_step = loss_of(exact(**inputs).logits, inputs["labels"])
        at_step.backward()
        optimizer.step()
        losses.append(at_step.item())
    save_file(
        {key: x.detach().float().contiguous() for key, x in arrays.items()},
        folder / "expected.safetensors",
        metadata={"format": "pt"},
    )
    written = {key: x.tolist() for key, x in inputs.items()}
    written |= {
        "loss": loss.item(),
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "losses": losses,
    }
    (folder / "batch.json").write_text(json.dumps(written) + "\n")
    if masked:
        (folder / "pseudo.json").write_text(json.dumps(pseudo(untrained, generator)) + "\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    generator = torch.Generator().manual_seed(SEED)
    for name, settings in CASES.items():
        make(name, settings, generator)
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "seed": SEED}
    (OUT / "manifest.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
