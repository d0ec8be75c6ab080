"""The peer: training steps of the CIFAR-10 demonstration in PyTorch eager, on random images.

Prints a JSON list of milliseconds, one per step, after a warm-up.
usage: python mlp_step.py full|lora-activation|lora-weight BATCH STEPS THREADS
"""

import json
import sys
import time

import torch

kind, batch, steps, threads = sys.argv[1], *map(int, sys.argv[2:5])
torch.manual_seed(0)
torch.set_num_threads(threads)


class Lora(torch.nn.Module):
    def __init__(self, base, form, r=1, alpha=1.0):
        super().__init__()
        self.base, self.form, self.scaling = base.requires_grad_(False), form, alpha / r
        self.A = torch.nn.Parameter(torch.randn(r, base.in_features))
        self.B = torch.nn.Parameter(torch.zeros(base.out_features, r))

    def forward(self, x):
        if self.form == "activation":
            return self.base(x) + (x @ self.A.T) @ self.B.T * self.scaling
        weight = self.base.weight + self.B @ self.A * self.scaling
        return torch.nn.functional.linear(x, weight, self.base.bias)


layers = [torch.nn.Linear(3072, 4096), torch.nn.Linear(4096, 2048), torch.nn.Linear(2048, 10)]
if kind != "full":
    layers = [Lora(layer, kind.removeprefix("lora-")) for layer in layers]
model = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
x, y = torch.randn(batch, 3072), torch.randint(0, 10, (batch,))
times = []
for i in range(steps + 5):
    start = time.perf_counter()
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    loss.item()
    if i >= 5:
        times.append(1000 * (time.perf_counter() - start))
print(json.dumps({"torch": torch.__version__, "times": times}))
