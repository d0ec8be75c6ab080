"""Writes golden/sampling.json: what transformers' `generate` draws from, after each of its processors and all together.

Logits are float32 numbers; probabilities are computed from them in float64.
"""

import json
import pathlib

import torch
import transformers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

SEED = 20250211
OUT = pathlib.Path(__file__).parents[1] / "sampling.json"
VOCABULARY = 90
ROWS = 3

CASES = [
    {"top_k": 0},
    {"temperature": 0.4, "top_k": 0},
    {"temperature": 2.5, "top_k": 0},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 200},
    {"top_k": 0, "top_p": 0.9},
    {"top_k": 0, "top_p": 0.01},
    {"temperature": 1.7, "top_k": 0, "top_p": 0.999},
    {"top_k": 0, "min_p": 0.1},
    {"top_k": 0, "repetition_penalty": 1.3},
    {"top_k": 0, "repetition_penalty": 0.8},
    {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05},
    {"temperature": 1.4, "top_k": 30, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.2},
]


def main():
    generator = torch.Generator().manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    model = LlamaForCausalLM(config)
    logits = torch.randn(ROWS, VOCABULARY, generator=generator) * 2
    # Two that tie for the seventh place.
    ranked = logits[0].argsort(descending=True)
    logits[0, ranked[7]] = logits[0, ranked[6]]
    seen = torch.randint(0, VOCABULARY, (ROWS, 12), generator=generator)
    cases = []
    for options in CASES:
        settings = GenerationConfig(do_sample=True, **options)
        processors = model._get_logits_processor(settings, input_ids_seq_length=12, device="cpu")
        scores = processors(seen, logits.double())
        cases.append({"options": options, "probabilities": scores.softmax(-1).tolist()})
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "seed": SEED}
    golden = {**versions, "logits": logits.tolist(), "seen": seen.tolist(), "cases": cases}
    OUT.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
