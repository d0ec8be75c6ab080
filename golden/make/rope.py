"""Writes golden/rope.json: rotations as transformers computes them from `config.json`, for every kind of scaling."""

import json
import pathlib

import torch
import transformers
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

BASE = {"hidden_size": 48, "num_attention_heads": 3, "max_position_embeddings": 4096}
LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}
# Settings as they stand in a file, old and new, and positions.
CASES = {
    "none": ({"rope_theta": 500000.0}, [0, 1, 17, 4095]),
    "none, transformers 5": ({"rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}}, [0, 5, 4000]),
    "a theta that float32 has not": ({"rope_theta": 123456.7}, [3, 4095]),
    "head_dim apart": ({"head_dim": 10, "rope_theta": 1000000.0}, [0, 2, 100]),
    "linear": ({"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 3.0}}, [0, 1, 4095]),
    "llama3": ({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", **LLAMA3}}, [0, 1, 700, 30000]),
    "dynamic, short": ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, [0, 1, 4095]),
    "dynamic, long": ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, [0, 1, 9999]),
    "yarn": (
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}},
        [0, 1, 900, 4095],
    ),
    "yarn with every setting": (
        {
            "rope_parameters": {
                "rope_theta": 150000.0,
                "rope_type": "yarn",
                "factor": 32.0,
                "original_max_position_embeddings": 128,
                "beta_fast": 24.0,
                "beta_slow": 2.0,
                "mscale": 1.5,
                "mscale_all_dim": 0.7,
                "truncate": False,
            }
        },
        [0, 1, 2000],
    ),
    "yarn with an attention factor": (
        {
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": None,
                "attention_factor": 0.8,
                "original_max_position_embeddings": 256,
            }
        },
        [0, 3],
    ),
}


def make(name, settings, positions):
    config = {**BASE, **settings}
    rotary = LlamaRotaryEmbedding(LlamaConfig(**json.loads(json.dumps(config))))
    cos, sin = rotary(torch.zeros(1), torch.tensor([positions]))
    half = cos.shape[-1] // 2
    return {
        "name": name,
        "config": config,
        "positions": positions,
        "frequencies": rotary.inv_freq.tolist(),
        "cos": cos[0, :, :half].flatten().tolist(),
        "sin": sin[0, :, :half].flatten().tolist(),
    }


def main():
    cases = [make(name, *case) for name, case in CASES.items()]
    made = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    path = pathlib.Path(__file__).parents[1] / "rope.json"
    path.write_text(json.dumps({"made": made, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
