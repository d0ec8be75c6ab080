"""Writes golden/models.json: whole models of torch in float64, with their loss and the gradient of every parameter.

Inputs and parameters are multiples of 1/64, so that they are exact in the file and in float32.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

SEED = 20240611


class Case:
    def __init__(self, name, generator):
        self.name = name
        self.generator = generator
        self.inputs = {}
        self.parameters = {}

    def input(self, name, *shape):
        self.inputs[name] = self.numbers(shape, 2.0)
        return self.inputs[name]

    def labels(self, name, shape, high, ignored=()):
        values = torch.randint(0, high, shape, generator=self.generator)
        for position in ignored:
            values.view(-1)[position] = -100
        self.inputs[name] = values
        return values

    def parameter(self, name, *shape):
        self.parameters[name] = self.numbers(shape, 0.75).requires_grad_()
        return self.parameters[name]

    def linear(self, name, x, out):
        return F.linear(x, self.parameter(f"{name}.weight", out, x.shape[-1]), self.parameter(f"{name}.bias", out))

    def layer_norm(self, name, x):
        width = x.shape[-1]
        return F.layer_norm(x, (width,), self.parameter(f"{name}.weight", width), self.parameter(f"{name}.bias", width))

    def numbers(self, shape, scale):
        uniform = torch.rand(shape, generator=self.generator, dtype=torch.float64) * 2 - 1
        return torch.round(uniform * scale * 64) / 64

    def done(self, loss):
        loss.backward()
        return {
            "name": self.name,
            "inputs": {k: {"shape": list(v.shape), "data": v.flatten().tolist()} for k, v in self.inputs.items()},
            "parameters": {
                k: {"shape": list(v.shape), "data": v.flatten().tolist(), "gradient": v.grad.flatten().tolist()}
                for k, v in self.parameters.items()
            },
            "loss": loss.item(),
        }


def mlp(case):
    x = case.input("x", 6, 5)
    h = F.relu(case.linear("fc1", x, 7))
    h = F.relu(case.linear("fc2", h, 4))
    return F.cross_entropy(case.linear("fc3", h, 3), case.labels("labels", (6,), 3))


def conv_net(case):
    x = case.input("x", 3, 2, 9, 7)
    h = F.conv2d(x, case.parameter("conv1.weight", 4, 2, 3, 2), case.parameter("conv1.bias", 4), stride=(2, 1), padding=1)
    h = F.avg_pool2d(F.relu(h), (2, 2), stride=(1, 2))
    h = F.conv2d(h, case.parameter("conv2.weight", 6, 2, 2, 3), case.parameter("conv2.bias", 6), groups=2)
    h = F.max_pool2d(F.gelu(h), (2, 1))
    return F.cross_entropy(case.linear("fc", h.flatten(1), 5), case.labels("labels", (3,), 5))


def attention_block(case):
    heads, width = 3, 4
    x = case.input("x", 2, 5, 7)
    target = case.input("target", 2, 5, 7)
    h = case.layer_norm("ln1", x)
    split = lambda y: y.view(2, 5, heads, width).transpose(1, 2)
    q, k, v = (split(case.linear(name, h, heads * width)) for name in ("q", "k", "v"))
    a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + case.linear("o", a.transpose(1, 2).reshape(2, 5, heads * width), 7)
    h = F.gelu(case.linear("up", case.layer_norm("ln2", x), 9), approximate="tanh")
    x = x + case.linear("down", h, 7)
    return ((x - target) ** 2).mean()


def tied_embeddings(case):
    vocabulary, width = 11, 6
    tokens = case.labels("tokens", (3, 4), vocabulary)
    table = case.parameter("embedding.weight", vocabulary, width)
    h = F.embedding(tokens, table) + case.parameter("positions.weight", 4, width)
    h = F.silu(case.linear("fc", case.layer_norm("ln", h), width))
    labels = case.labels("labels", (12,), vocabulary, ignored=(2, 7))
    return F.cross_entropy((h @ table.T).view(12, vocabulary), labels, ignore_index=-100)


def main():
    generator = torch.Generator().manual_seed(SEED)
    cases = []
    for model in (mlp, conv_net, attention_block, tied_embeddings):
        case = Case(model.__name__, generator)
        cases.append(case.done(model(case)))
    made = {"torch": torch.__version__.split("+")[0], "seed": SEED, "dtype": "float64"}
    path = pathlib.Path(__file__).parents[1] / "models.json"
    path.write_text(json.dumps({"made": made, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
