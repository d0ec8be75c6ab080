"""Writes golden/torch-random.json: what PyTorch's CPU generator draws, some of it after its state was made anew several times."""

import json
import pathlib

import torch

OUT = pathlib.Path(__file__).parents[1] / "torch-random.json"
CASES = [(0, 40, -0.5, 0.5), (7, 2000, -0.3, 0.3), (2**31 + 5, 700, 0.0, 1.0), (-3, 1300, -1.7, 0.2), (123456789012, 30, -1, 2)]


def main():
    cases = []
    for seed, length, low, high in CASES:
        generator = torch.Generator(device="cpu").manual_seed(seed)
        # One stream, two tensors: the second goes on where the first ended.
        first = torch.empty(length).uniform_(low, high, generator=generator)
        second = torch.empty(3).uniform_(high, high + 1, generator=generator)
        kept = list(range(0, length, max(1, length // 20)))
        cases.append(
            {"seed": seed, "length": length, "from": low, "to": high, "kept": kept}
            | {"values": [first[i].item() for i in kept], "next": second.tolist()}
        )
    OUT.write_text(json.dumps({"torch": torch.__version__.split("+")[0], "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
