"""Adapters of tiny language models as PEFT saves them, with logits and five AdamW steps: golden/peft-language/.

Each folder has the files that PEFT wrote and expected.json: logits of the adapter, and the losses of training it on. Base
models are beside them. Trained parameters are perturbed and alpha differs from r, so that no zero and no scale of one hides
a mistake; no two sizes are equal. Computed in float64 but for what the models round to float32 themselves.
"""

import json
import pathlib
import shutil
import warnings

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

OUT = pathlib.Path(__file__).parent.parent / "peft-language"
IGNORED = -100
warnings.filterwarnings("ignore")

CASES = {
    "qwen2": {
        "all-linear": dict(target_modules="all-linear", init_lora_weights="gaussian", task_type="CAUSAL_LM"),
        "patterns": dict(
            target_modules=r".*\.(?P<kind>self_attn|mlp)\.(q_proj|v_proj|up_proj|down_proj)",
            rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.up_proj": 5, "^model.layers.0.self_attn.v_proj": 3},
            alpha_pattern={r"(up|down)_proj": 7, "model.layers.0.self_attn.q_proj": 3},
            use_rslora=True,
        ),
        "blocks": dict(target_modules=["q_proj", "k_proj", "mlp.gate_proj"], layers_to_transform=[1], exclude_modules=["k_proj"]),
        "bias-all": dict(target_modules=["q_proj", "o_proj"], bias="all", layers_to_transform=0),
        "bias-lora-only": dict(target_modules=["q_proj", "o_proj"], bias="lora_only", layers_to_transform=[0]),
        "lora-bias": dict(target_modules=["q_proj", "v_proj", "o_proj"], lora_bias=True),
        "save-head": dict(target_modules=["q_proj"], modules_to_save=["lm_head"]),
        "save-embedding": dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
        "save-tied": dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True),
        # Not together: PEFT would copy norms inside of the copied block twice, and save one of the two.
        "save-norms": dict(target_modules=["q_proj"], modules_to_save=["norm"]),
        "save-block": dict(target_modules=["q_proj"], modules_to_save=["layers.1"]),
        "embedding": dict(target_modules=["v_proj", "embed_tokens"]),
        "embedding-and-head": dict(target_modules=r"lm_head|model\.embed_tokens|.*\.down_proj", use_rslora=True),
        "embedding-tied": dict(target_modules=["v_proj", "embed_tokens"], ensure_weight_tying=True),
    },
    "gpt2": {
        "default": dict(),
        "all-linear": dict(target_modules="all-linear", rank_pattern={"mlp.c_proj": 3}, task_type="CAUSAL_LM"),
        "bias-and-modules": dict(target_modules=["c_proj"], bias="all", modules_to_save=["ln_f", "wpe"]),
        "embedding": dict(target_modules=["c_fc", "wte", "wpe", "lm_head"], fan_in_fan_out=True),
    },
}


def models():
    qwen2 = Qwen2Config(
        vocab_size=29, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
        head_dim=8, max_position_embeddings=32, tie_word_embeddings=True, initializer_range=0.3,
    )  # fmt: skip
    gpt2 = GPT2Config(
        vocab_size=29, n_embd=12, n_inner=20, n_layer=2, n_head=3, n_positions=16, initializer_range=0.3,
        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    found = {"qwen2": Qwen2ForCausalLM(qwen2), "gpt2": GPT2LMHeadModel(gpt2)}
    with torch.no_grad():
        for model in found.values():
            for name, p in model.named_parameters():
                if p.ndim == 1:
                    p.add_(torch.randn_like(p) * 0.3)
    return found


def rounded(t):
    return [float(f"{v:.9g}") for v in t.detach().double().flatten().tolist()]


def perturb(wrapped, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in wrapped.parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.2)


def expected(wrapped, ids):
    labels = ids.clone()
    labels[0, :3] = IGNORED
    exact = wrapped.double().train()
    logits = exact(input_ids=ids).logits
    optimizer = torch.optim.AdamW([p for p in exact.parameters() if p.requires_grad], lr=0.01, weight_decay=0)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = exact(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"input_ids": ids.tolist(), "labels": labels.tolist(), "logits": rounded(logits), "losses": losses, "lr": 0.01}


shutil.rmtree(OUT, ignore_errors=True)
for family, base in models().items():
    base.save_pretrained(OUT / family)
    (OUT / family / "generation_config.json").unlink(missing_ok=True)
    torch.manual_seed(1)
    ids = torch.randint(0, 29, (2, 7))
    for seed, (name, config) in enumerate(CASES[family].items()):
        model = type(base).from_pretrained(OUT / family)
        # What is not the adapter's business is not written: where this script ran.
        model.config._name_or_path = model.name_or_path = ""
        wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=10, base_model_name_or_path="", **config))
        perturb(wrapped, seed + 10)
        folder = OUT / f"{family}-{name}"
        wrapped.save_pretrained(folder)
        (folder / "README.md").unlink()
        (folder / "expected.json").write_text(json.dumps(expected(wrapped, ids)))

# Three rows of one batch: one adapter, none, another one.
model = type(models()["qwen2"]).from_pretrained(OUT / "qwen2")
mixed = PeftModel.from_pretrained(model, OUT / "qwen2-patterns", adapter_name="one")
mixed.load_adapter(OUT / "qwen2-embedding", adapter_name="two")
mixed = mixed.double().eval()
torch.manual_seed(2)
ids = torch.randint(0, 29, (3, 5))
rows = mixed(input_ids=ids, adapter_names=["one", "__base__", "two"]).logits
# PEFT cannot mix ranks that a layer has by pattern.
mixed.load_adapter(OUT / "qwen2-all-linear", adapter_name="three")
mixed.load_adapter(OUT / "qwen2-blocks", adapter_name="four")
mixed.double()
mixed.base_model.add_weighted_adapter(["three", "four"], [0.7, -1.3], "cat", combination_type="cat")
mixed.set_adapter("cat")
both = mixed(input_ids=ids).logits
(OUT / "mixed.json").write_text(
    json.dumps({"input_ids": ids.tolist(), "rows": rounded(rows), "weights": [0.7, -1.3], "weighted": rounded(both)})
)
versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__, "seed": 0}
(OUT / "manifest.json").write_text(json.dumps(versions))
