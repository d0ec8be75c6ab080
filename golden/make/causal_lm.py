"""Writes golden/causal-lm/: tiny language models as transformers saves them, and what transformers computes with them.

For each: `config.json` and `model.safetensors`, as from `save_pretrained`; `batch.json`: inputs, loss, and the losses of ten
steps of AdamW on every parameter; `expected.safetensors`: the output of every block, the logits, and the gradient of every
parameter. Weights are float32 numbers; everything is computed from them in float64 (norms and cosines, which transformers
rounds to float32, apart) and, but for the scalars, stored in float32.

No two sizes are alike, no weight is zero, padding is on either side, and one label in five is ignored.
"""

import copy
import json
import math
import pathlib
import shutil

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

SEED = 20250117
OUT = pathlib.Path(__file__).parents[1] / "causal-lm"
LEARNING_RATE = 0.01
WEIGHT_DECAY = 0.1
STEPS = 10

ABSENT = object()

# heads * head_dim != hidden, kv heads != heads, an odd vocabulary.
LLAMA_LIKE = {
    "vocab_size": 43,
    "hidden_size": 20,
    "intermediate_size": 28,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
}
# `start` is the position of the first token.
CASES = {
    "qwen2-tied": {"model_type": "qwen2", "tie_word_embeddings": True, "rope_theta": 1000000.0},
    "qwen2-window": {
        "model_type": "qwen2",
        "head_dim": ABSENT,
        "hidden_size": 24,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "use_sliding_window": True,
        "sliding_window": 4,
        "max_window_layers": 1,
    },
    "qwen3": {
        "model_type": "qwen3",
        "attention_bias": True,
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-5,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        "start": 50,
    },
    "llama-llama3-rope": {
        "model_type": "llama",
        "head_dim": 8,
        "rope_theta": 500000.0,
        "max_position_embeddings": 131072,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "start": 30000,
    },
    "llama-biases": {
        "model_type": "llama",
        "attention_bias": True,
        "mlp_bias": True,
        "rope_scaling": {"type": "linear", "factor": 2.5},
    },
    "mistral-window": {"model_type": "mistral", "sliding_window": 3, "num_hidden_layers": 2},
    "gpt2": {
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
    },
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


def batch(vocabulary, start, generator):
    """Three rows of 11 tokens: a full one, one padded on the right, one padded on the left."""
    rows, length = 3, 11
    tokens = torch.randint(0, vocabulary, (rows, length), generator=generator)
    mask = torch.ones(rows, length, dtype=torch.long)
    mask[1, 7:] = 0
    mask[2, :4] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0) + start
    ignored = torch.rand(rows, length, generator=generator) < 0.2
    labels = tokens.masked_fill((mask == 0) | ignored, -100)
    # Nothing can be predicted from padding.
    labels[2, 4] = -100
    return {"input_ids": tokens, "attention_mask": mask, "position_ids": positions, "labels": labels}


def blocks_of(model):
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


def loss_of(result, inputs):
    return F.cross_entropy(result.logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten())


def make(name, changes, generator):
    settings = dict(changes) if changes["model_type"] == "gpt2" else {**LLAMA_LIKE, **changes}
    start = settings.pop("start", 0)
    settings = {key: value for key, value in settings.items() if value is not ABSENT}
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    scatter(model, generator)
    folder = OUT / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    # Dropout is zero; `train` would not change a number.
    exact = copy.deepcopy(model).double().eval()
    inputs = batch(config.vocab_size, start, generator)
    states = []
    hooks = [
        block.register_forward_hook(lambda _m, _i, out: states.append(out[0] if isinstance(out, tuple) else out))
        for block in blocks_of(exact)
    ]
    result = exact(**inputs, use_cache=False)
    loss = loss_of(result, inputs)
    # transformers computes the loss in float32.
    torch.testing.assert_close(result.loss, loss.float())
    for hook in hooks:
        hook.remove()
    loss.backward()
    arrays = {"logits": result.logits} | {f"block.{i}": x for i, x in enumerate(states)}
    arrays |= {f"gradient.{key}": p.grad for key, p in exact.named_parameters()}
    optimizer = torch.optim.AdamW(exact.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        at_step = loss_of(exact(**inputs, use_cache=False), inputs)
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


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    generator = torch.Generator().manual_seed(SEED)
    for name, changes in CASES.items():
        make(name, changes, generator)
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "seed": SEED}
    (OUT / "manifest.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
