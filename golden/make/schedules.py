"""Factors on the learning rate of transformers' `get_scheduler`, step by step: golden/schedules.json."""

import json
import pathlib

import torch
import transformers

PEAK = 0.003
STEPS = 12

# scheduler name, warm-up steps, specific arguments by transformers' names
CASES = [
    ("constant", 0, {}),
    ("constant", 4, {}),
    ("constant_with_warmup", 4, {}),
    ("constant_with_warmup", 0, {}),
    ("linear", 0, {}),
    ("linear", 3, {}),
    ("linear", 1, {}),
    ("linear", 12, {}),
    ("cosine", 0, {}),
    ("cosine", 3, {}),
    ("cosine", 2, {"num_cycles": 1.25}),
    ("cosine_with_restarts", 0, {}),
    ("cosine_with_restarts", 2, {"num_cycles": 3}),
    ("polynomial", 0, {}),
    ("polynomial", 3, {"power": 2.5}),
    ("polynomial", 3, {"power": 0.5, "lr_end": 0.0005}),
    ("inverse_sqrt", 0, {}),
    ("inverse_sqrt", 4, {}),
    ("cosine_with_min_lr", 3, {"min_lr": 0.0006}),
    ("cosine_with_min_lr", 0, {"min_lr_rate": 0.1}),
]

cases = []
for name, warmup, specific in CASES:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = transformers.get_scheduler(
        name, optimizer, num_warmup_steps=warmup, num_training_steps=STEPS, scheduler_specific_kwargs=specific
    )
    rates = []
    for _ in range(STEPS + 1):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    cases.append({"name": name, "warmup": warmup, "options": specific, "rates": rates})

made = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
path = pathlib.Path(__file__).parents[1] / "schedules.json"
path.write_text(json.dumps({"made": made, "peak": PEAK, "steps": STEPS, "cases": cases}, separators=(",", ":")) + "\n")
