"""Writes golden/checkpoints/: tiny models saved by transformers, in the forms in which checkpoints come.

    python golden/make/checkpoints.py

    llama-bf16        one file in bfloat16, a head of its own
    qwen2-f16         float16, sharded, tied
    qwen2-head-only   float32, tied, with the shared table under the head's name
    gpt2-bare         the decoder alone, without the `transformer.` prefix, and with the buffers of old versions

`expected.json`: for each model its parameters, as transformers names them, with shape and SHA-256 of their float32 bytes.
"""

import hashlib
import json
import pathlib
import shutil

import torch
import transformers
from safetensors.torch import load_file, save_file

SEED = 20240610
root = pathlib.Path(__file__).resolve().parent.parent / "checkpoints"
shutil.rmtree(root, ignore_errors=True)
root.mkdir()
expected = {}


def describe(name, model):
    tensors = {}
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        data = value.float().contiguous().numpy().tobytes()
        tensors[key] = {"shape": list(value.shape), "sha256": hashlib.sha256(data).hexdigest()}
    expected[name] = tensors


torch.manual_seed(SEED)
sizes = dict(vocab_size=40, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
             num_key_value_heads=1, max_position_embeddings=64)

llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, tie_word_embeddings=False)).to(torch.bfloat16)
llama.save_pretrained(root / "llama-bf16")
describe("llama-bf16", llama)

qwen2 = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**sizes, tie_word_embeddings=True)).to(torch.float16)
qwen2.save_pretrained(root / "qwen2-f16", max_shard_size="3KB")
describe("qwen2-f16", qwen2)

qwen2 = qwen2.float()
qwen2.save_pretrained(root / "qwen2-head-only")
path = root / "qwen2-head-only" / "model.safetensors"
tensors = load_file(path)
tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
save_file(tensors, path, metadata={"format": "pt"})
describe("qwen2-head-only", qwen2)

config = transformers.GPT2Config(vocab_size=40, n_positions=16, n_embd=12, n_layer=1, n_head=3)
gpt2 = transformers.GPT2LMHeadModel(config)
gpt2.save_pretrained(root / "gpt2-bare")
path = root / "gpt2-bare" / "model.safetensors"
tensors = {key.removeprefix("transformer."): value for key, value in load_file(path).items()}
tensors["h.0.attn.bias"] = torch.tril(torch.ones(16, 16)).view(1, 1, 16, 16)
tensors["h.0.attn.masked_bias"] = torch.tensor(-1e4)
save_file(tensors, path, metadata={"format": "pt"})
describe("gpt2-bare", gpt2)

# What we wrote ourselves must be what transformers reads.
for name, cls in [("qwen2-head-only", transformers.Qwen2ForCausalLM), ("gpt2-bare", transformers.GPT2LMHeadModel)]:
    model = cls.from_pretrained(root / name)
    described = expected[name]
    describe(name, model)
    assert expected[name] == described, name

for file in root.rglob("*"):
    if file.is_file():
        file.chmod(0o644)
(root / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
(root / "manifest.json").write_text(json.dumps({
    "transformers": transformers.__version__, "torch": torch.__version__, "seed": SEED}, indent=1) + "\n")
