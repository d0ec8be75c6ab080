"""Orders of transformers' `get_length_grouped_indices`, with the random order that each began with: golden/length-groups.json."""

import json
import pathlib

import torch
import transformers
from transformers.trainer_pt_utils import get_length_grouped_indices

# rows, rows of a step, largest length: few steps, large groups of 50 steps, an incomplete last group, many equal lengths
CASES = [(3, 4, 9), (17, 2, 40), (64, 4, 300), (230, 1, 50), (231, 3, 4), (1, 1, 5), (12, 12, 6)]

cases = []
for seed, (rows, size, largest) in enumerate(CASES):
    lengths = torch.randint(1, largest + 1, (rows,), generator=torch.Generator().manual_seed(100 + seed)).tolist()
    generator = lambda: torch.Generator().manual_seed(seed)
    order = torch.randperm(rows, generator=generator()).tolist()
    grouped = get_length_grouped_indices(lengths, size, generator=generator())
    cases.append({"size": size, "lengths": lengths, "order": order, "grouped": grouped})

path = pathlib.Path(__file__).parent.parent / "length-groups.json"
versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
text = json.dumps({"versions": versions, "cases": cases}, separators=(",", ":"))
path.write_text(text + "\n")
