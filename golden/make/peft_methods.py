"""Writes golden/peft-methods/: adapters of every method as PEFT saves them, and what PEFT computes with them.

`peft_methods.py [GROUP ...]` makes the named groups (those of GROUPS, at the end), or all. A folder is a case:

- `adapter_config.json`, `adapter_model.safetensors`: as from `save_pretrained`. Trainable parameters had noise added to what
  PEFT initializes them with, so that none of them is 0, 1 or an identity.
- `expected.json`: `base` (a folder of golden/causal-lm), the inputs, `loss`, and `losses`: ten steps of AdamW on the trainable
  parameters, from the saved state, with `learning_rate` and `weight_decay` (of every one of them). Some cases have more.
- `expected.safetensors`: `logits`; `gradient.KEY` of the loss, for every trainable parameter; `merged_logits`: of the model that
  `merge_and_unload` gives, and `merged.NAME`: what it has for the weights that were changed in block 0. KEY is a key of
  adapter_model.safetensors or, for what PEFT does not save, the name of the parameter in PEFT without the adapter's. Some cases
  have more: `residual.NAME` (what a method leaves of a weight of the base), `initial.KEY`, `final.KEY` (after the ten steps).

`dora` has a dropout of 0.25 in its configuration, and nothing is dropped in what is computed (dora-dropout.json is one layer
that drops). Gradients and the ten steps of `adalora` are of the cross-entropy alone; `run` in `adalora-pruned` is a whole run,
with the penalty and the budget. PiSSA and OLoRA change the base: `NAME-converted` is the same adapter for the base as it was.
`loftq` needs scipy and bitsandbytes.

Inputs are those of the base's batch.json: rows are padded on the right and on the left, with position ids. Of prompt methods
PEFT ignores position ids: their rows are padded on the right. Their `position_ids` are those that transformers counts itself:
from num_virtual_tokens on for prefix tuning; with the virtual tokens, from 0 on, for the others, of which the logits have the
virtual tokens too and the label of the first token counts (`labels` are without the virtual tokens).

Files are float32. Everything else is computed from them in float64 (norms and cosines, which transformers rounds to float32,
apart) and, but for the scalars, stored in float32. No two sizes of a base are alike.
"""

import copy
import json
import shutil
import sys
import tempfile

import peft
import torch
import transformers
from peft import (
    AdaLoraConfig,
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    VeraConfig,
    get_peft_model,
)
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer
from peft.tuners.lokr.layer import factorization
from peft_methods_rig import (
    NOISE,
    OUT,
    SEED,
    add_noise,
    base_inputs,
    base_model,
    curve,
    exact_copy,
    first_block,
    forward,
    key_of,
    loftq_on_cpu,
    loss_of,
    measure,
    plain,
    prompt_inputs,
    reloads,
    save,
    trainable,
    wrap,
    write,
)
from safetensors.torch import load_file, save_file

LORA = {"r": 4, "lora_alpha": 10}


class FixedDropout(torch.nn.Module):
    """Dropout with a mask that is known."""

    def __init__(self, mask, p):
        super().__init__()
        self.mask, self.p = mask, p

    def forward(self, x):
        return x * self.mask / (1 - self.p)


def dora():
    several = ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
    plain("dora", "qwen2-tied", LoraConfig(**LORA, use_dora=True, target_modules=several, lora_dropout=0.25), 100)
    patterns = {"rank_pattern": {"v_proj": 2, r"layers\.1\.mlp\.up_proj": 6}, "alpha_pattern": {"down_proj": 7}}
    config = LoraConfig(**LORA, use_dora=True, use_rslora=True, target_modules=several[1:], **patterns)
    plain("dora-patterns", "qwen2-tied", config, 101)
    config = LoraConfig(**LORA, use_dora=True, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)
    plain("dora-gpt2", "gpt2", config, 102)
    plain("dora-embedding", "qwen2-window", LoraConfig(**LORA, use_dora=True, target_modules=["embed_tokens", "k_proj"]), 103)
    dora_dropout()


def dora_dropout():
    """golden/peft-methods/dora-dropout.json: one layer in training, with the mask of its dropout and its gradients."""
    torch.manual_seed(104)
    layer = torch.nn.Sequential(torch.nn.Linear(7, 5))
    config = LoraConfig(**LORA, use_dora=True, target_modules=["0"], lora_dropout=0.25)
    wrapped = get_peft_model(layer, config)
    add_noise(wrapped, NOISE)
    wrapped = wrapped.double().train()
    x, mask, dy = torch.randn(3, 7).double(), (torch.rand(3, 7) > 0.25).double(), torch.randn(3, 5).double()
    target = wrapped.base_model.model[0]
    target.lora_dropout["default"] = FixedDropout(mask, 0.25)
    x.requires_grad = True
    y = wrapped(x)
    y.backward(dy)
    state = {key_of(name): p for name, p in wrapped.named_parameters()}
    arrays = {"x": x, "mask": mask, "dy": dy, "y": y, "dx": x.grad} | state
    arrays |= {f"gradient.{key_of(name)}": p.grad for name, p in trainable(wrapped)}
    stored = {key: {"shape": list(a.shape), "data": a.detach().flatten().tolist()} for key, a in arrays.items()}
    (OUT / "dora-dropout.json").write_text(json.dumps({"p": 0.25, "scaling": target.scaling["default"], **stored}) + "\n")


def mutating(name, base, config, seed, exactly=True):
    """Methods that take a part out of the base's weights. @param exactly PEFT finds the same part again on loading"""
    inputs = base_inputs(base)
    original = forward(base_model(base).double().eval(), inputs).logits
    wrapped = wrap(base, config, seed, noise=0)
    residual = {name: p.detach().clone() for name, p in wrapped.named_parameters() if name.endswith("base_layer.weight")}
    initial = {key_of(name): p.detach().clone() for name, p in trainable(wrapped)}
    worst = (forward(exact_copy(wrapped), inputs).logits - original).abs().max()
    assert worst < 1e-4, (name, worst)
    with tempfile.TemporaryDirectory() as start:
        wrapped.peft_config["default"].init_lora_weights = True
        wrapped.save_pretrained(start)
        wrapped.peft_config["default"].init_lora_weights = config_init = INITS[name]
        add_noise(wrapped, NOISE)
        save(wrapped, OUT / name)
        written, arrays = measure(wrapped, base, inputs)
        named = {key.replace(".base_layer", "").removeprefix("base_model.model."): p for key, p in residual.items()}
        arrays |= {f"residual.{key}": p for key, p in named.items() if first_block(key) or not exactly}
        arrays |= {f"initial.{key}": p for key, p in initial.items()}
        write(OUT / name, written | {"init_lora_weights": config_init}, arrays)
        if exactly:
            reloads(OUT / name, base, inputs, arrays["logits"])
        converted = OUT / f"{name}-converted"
        save(wrapped, converted, path_initial_model_for_weight_conversion=start)
    loaded = PeftModel.from_pretrained(base_model(base), converted, is_trainable=True)
    written, again = measure(loaded, base, inputs)
    worst = (again["logits"] - arrays["logits"]).abs().max()
    assert worst < 1e-4, (name, worst)
    write(converted, written | {"converted_from": name}, again)


INITS = {"pissa": "pissa", "pissa-patterns": "pissa", "pissa-niter": "pissa_niter_4", "pissa-gpt2": "pissa", "olora": "olora"}


def pissa():
    several = ["q_proj", "v_proj", "down_proj"]
    mutating("pissa", "qwen2-tied", LoraConfig(**LORA, init_lora_weights="pissa", target_modules=several), 110)
    patterns = {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"down_proj": 7}}
    config = LoraConfig(**LORA, init_lora_weights="pissa", target_modules=several, **patterns)
    mutating("pissa-patterns", "qwen2-tied", config, 111)
    config = LoraConfig(**LORA, init_lora_weights="pissa_niter_4", target_modules=several, use_rslora=True)
    mutating("pissa-niter", "qwen2-tied", config, 112, exactly=False)
    config = LoraConfig(**LORA, init_lora_weights="pissa", target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    mutating("pissa-gpt2", "gpt2", config, 113)
    mutating("olora", "qwen2-tied", LoraConfig(**LORA, init_lora_weights="olora", target_modules=several), 114)


def vera():
    # Inputs of 20, 24 and 28 and outputs of 12, 20, 24 and 28: the shared matrices are cut for most of the layers.
    several = ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
    config = VeraConfig(r=6, d_initial=0.3, projection_prng_key=7, save_projection=True, target_modules=several)
    plain("vera", "qwen2-tied", config, 120)
    config = VeraConfig(r=5, d_initial=0.3, projection_prng_key=11, save_projection=False, target_modules=several)
    plain("vera-key", "qwen2-tied", config, 121)
    # Without the file's they are made from the key.
    wrapped = wrap("qwen2-tied", config, 121)
    file = OUT / "vera-key" / "expected.safetensors"
    projections = {"projection.vera_A": wrapped.base_model.vera_A["default"], "projection.vera_B": wrapped.base_model.vera_B["default"]}
    save_file(load_file(file) | projections, file, metadata={"format": "pt"})
    config = VeraConfig(r=6, d_initial=0.3, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    plain("vera-gpt2", "gpt2", config, 122)


def loha():
    several = ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
    plain("loha", "qwen2-tied", LoHaConfig(r=4, alpha=10, target_modules=several), 130)
    patterns = {"rank_pattern": {"v_proj": 2, r"layers\.1\.mlp\.up_proj": 6}, "alpha_pattern": {"down_proj": 7}}
    plain("loha-patterns", "qwen2-tied", LoHaConfig(r=4, alpha=10, target_modules=several[1:], **patterns), 131)


def lokr():
    several = ["q_proj", "v_proj", "up_proj", "down_proj"]
    # 20 = 4·5, 24 = 4·6, 28 = 4·7, 12 = 3·4: w2 is decomposed where 2·r is less than its larger side.
    plain("lokr", "qwen2-tied", LoKrConfig(r=2, alpha=5, target_modules=several), 140)
    plain("lokr-whole", "qwen2-tied", LoKrConfig(r=4, alpha=10, target_modules=several), 141)
    plain("lokr-both", "qwen2-tied", LoKrConfig(r=1, alpha=2.5, decompose_both=True, target_modules=several), 142)
    plain("lokr-factor-4", "qwen2-tied", LoKrConfig(r=3, alpha=7, decompose_factor=4, target_modules=several), 143)
    # 20 = 2·10, 24 = 2·12, 28 = 2·14, 12 = 2·6.
    plain("lokr-factor-2", "qwen2-tied", LoKrConfig(r=4, alpha=10, decompose_factor=2, target_modules=several), 144)
    patterns = {"rank_pattern": {"v_proj": 1, r"layers\.1\.mlp\.up_proj": 3}, "alpha_pattern": {"down_proj": 7}}
    plain("lokr-patterns", "qwen2-tied", LoKrConfig(r=2, alpha=5, target_modules=several[1:], **patterns), 145)
    sizes = [1, 2, 7, 12, 20, 24, 28, 36, 43, 60, 97, 127, 128, 256, 360, 896, 4864, 151936]
    table = [[n, factor, *factorization(n, factor)] for n in sizes for factor in (-1, 1, 2, 3, 4, 8, 16, 50)]
    (OUT / "lokr-factorization.json").write_text(json.dumps({"dimension, factor, m, n": table}) + "\n")


def ia3():
    plain("ia3", "qwen2-tied", IA3Config(), 150)
    several = {"target_modules": ["k_proj", "v_proj", "o_proj", "up_proj", "down_proj"]}
    plain("ia3-targets", "qwen2-tied", IA3Config(**several, feedforward_modules=["o_proj", "down_proj"]), 151)
    plain("ia3-gpt2", "gpt2", IA3Config(fan_in_fan_out=True), 152)


def ln_tuning():
    several = ["input_layernorm", "post_attention_layernorm", "norm"]
    plain("ln-tuning", "qwen2-tied", LNTuningConfig(target_modules=several), 160)
    plain("ln-tuning-gpt2", "gpt2", LNTuningConfig(), 161)


def prompting(name, base, config, seed):
    """Methods that add virtual tokens, which are not merged."""
    wrapped = wrap(base, config, seed)
    folder = OUT / name
    save(wrapped, folder)
    inputs = prompt_inputs(43)
    written, arrays = measure(wrapped, base, inputs, mergeable=False)
    arrays |= {f"initial.{key_of(key)}": p for key, p in trainable(wrapped)}
    written["position_ids"] = positions(wrapped, inputs, arrays["logits"]).tolist()
    write(folder, written, arrays)
    # What is loaded is the one table that was saved: nothing is projected.
    reloads(folder, base, inputs, arrays["logits"])


def positions(wrapped, inputs, logits):
    """The positions that transformers counts: with them, the base that is given the prefix or the prompt computes the same."""
    exact = exact_copy(wrapped)
    tokens = inputs["input_ids"]
    virtual = wrapped.active_peft_config.num_virtual_tokens
    mask = torch.cat([torch.ones(len(tokens), virtual, dtype=torch.long), inputs["attention_mask"]], 1)
    prompt = exact.get_prompt(len(tokens))
    if isinstance(wrapped.active_peft_config, PrefixTuningConfig):
        found = torch.arange(virtual, mask.shape[1]).repeat(len(tokens), 1)
        given = {"input_ids": tokens, "past_key_values": prompt}
    else:
        found = torch.arange(mask.shape[1]).repeat(len(tokens), 1)
        given = {"inputs_embeds": torch.cat([prompt, exact.get_base_model().get_input_embeddings()(tokens)], 1)}
    again = exact.get_base_model()(**given, attention_mask=mask, position_ids=found).logits
    torch.testing.assert_close(again, logits)
    return found


def prefix():
    prompting("prefix", "qwen2-tied", PrefixTuningConfig(num_virtual_tokens=3), 170)
    config = PrefixTuningConfig(num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=7)
    prompting("prefix-projection", "qwen2-tied", config, 171)
    prompting("prefix-gpt2", "gpt2", PrefixTuningConfig(num_virtual_tokens=4), 172)


def tokenizer(folder):
    """A word is a token: w0 to w40."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(41)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0").save_pretrained(folder)


def prompt():
    prompting("prompt", "qwen2-tied", PromptTuningConfig(num_virtual_tokens=4), 180)
    prompting("prompt-gpt2", "gpt2", PromptTuningConfig(num_virtual_tokens=5), 181)
    # Fewer words than virtual tokens: they are repeated.
    text = "w5 w9 w31"
    with tempfile.TemporaryDirectory() as at:
        tokenizer(at)
        init = {"prompt_tuning_init": "TEXT", "prompt_tuning_init_text": text, "tokenizer_name_or_path": at}
        config = PromptTuningConfig(num_virtual_tokens=5, **init)
        wrapped = wrap("qwen2-tied", config, 182, noise=0)
    # The state that PEFT starts from: rows of the embedding.
    config.tokenizer_name_or_path = "words"
    save(wrapped, OUT / "prompt-text")
    (OUT / "prompt-text" / "expected.json").write_text(json.dumps({"base": "qwen2-tied", "prompt_token_ids": [5, 9, 31]}) + "\n")


def p_tuning():
    mlp = {"encoder_reparameterization_type": "MLP", "encoder_hidden_size": 9}
    prompting("p-tuning-mlp", "qwen2-tied", PromptEncoderConfig(num_virtual_tokens=4, **mlp), 190)
    lstm = {"encoder_reparameterization_type": "LSTM", "encoder_hidden_size": 6, "encoder_num_layers": 2, "encoder_dropout": 0.0}
    prompting("p-tuning-lstm", "qwen2-tied", PromptEncoderConfig(num_virtual_tokens=4, **lstm), 191)


SCHEDULES = {
    "run": {"init_r": 6, "target_r": 3, "tinit": 5, "tfinal": 10, "deltaT": 3, "total_step": 60, "matrices": 6},
    "field": {"init_r": 12, "target_r": 8, "tinit": 20, "tfinal": 30, "deltaT": 10, "total_step": 100, "matrices": 4},
    "paper": {"init_r": 6, "target_r": 4, "tinit": 10, "tfinal": 20, "deltaT": 1, "total_step": 100, "matrices": 48},
    "warm": {"init_r": 3, "target_r": 3, "tinit": 0, "tfinal": 0, "deltaT": 2, "total_step": 9, "matrices": 5},
}


def budgets():
    """golden/peft-methods/adalora-budgets.json: budget and mask of every step of some schedules."""
    from peft.tuners.adalora.layer import RankAllocator

    found = []
    for settings in SCHEDULES.values():
        model = torch.nn.Module()
        for i in range(settings["matrices"]):
            layer = torch.nn.Module()
            layer.lora_A = torch.nn.ParameterDict({"default": torch.zeros(settings["init_r"], 2)})
            model.add_module(f"layer{i}", layer)
        config = AdaLoraConfig(**{key: value for key, value in settings.items() if key != "matrices"})
        allocator = RankAllocator(model, config, "default")
        steps = [allocator.budget_schedule(step) for step in range(settings["total_step"] + 1)]
        found.append(settings | {"budgets": [b for b, _ in steps], "masks": [m for _, m in steps]})
    field = [found[1]["budgets"][i] for i in (0, 20, 21, 25, 30, 40, 45, 50, 60, 70, 71, 99)]
    assert field == [48, 48, 47, 43, 40, 35, 34, 33, 32, 32, 32, 32], field
    paper = [found[2]["budgets"][i] for i in (10, 11, 20, 30, 45, 60, 79, 100)]
    assert paper == [288, 283, 252, 226, 204, 194, 192, 192], paper
    (OUT / "adalora-budgets.json").write_text(json.dumps({"schedules": found}) + "\n")


def adalora():
    budgets()
    settings = {key: value for key, value in SCHEDULES["run"].items() if key != "matrices"}
    config = AdaLoraConfig(
        **settings, lora_alpha=10, beta1=0.85, beta2=0.8, orth_reg_weight=0.5, target_modules=["q_proj", "down_proj"]
    )
    base = "qwen2-tied"
    wrapped = wrap(base, config, 200)
    folder = OUT / "adalora"
    save(wrapped, folder)
    inputs = base_inputs(base)
    written, arrays = measure(wrapped, base, inputs)
    # The penalty of the state that the file holds: the mean of the norms over every A and B, not squared.
    exact = exact_copy(wrapped)
    written["orthogonality"] = orthogonality(exact).item()
    total = exact(**inputs).loss.item()
    assert abs(total - written["loss"] - 0.5 * written["orthogonality"]) < 1e-5
    write(folder, written, arrays)
    reloads(folder, base, inputs, arrays["logits"])
    adalora_run(exact_copy(wrapped), wrapped, base, inputs)


def orthogonality(exact):
    norms = []
    for name, p in exact.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = p @ p.T if "lora_A" in name else p.T @ p
            norms.append((gram - torch.eye(len(gram)).to(gram)).norm())
    return sum(norms) / len(norms)


def adalora_run(exact, wrapped, base, inputs):
    """
    golden/peft-methods/adalora-pruned: what the run leaves. Step n of the run, from 0 on, is: forward, backward of the cross
    entropy and the penalty, AdamW, update_and_allocate(n). `steps` tells what each has left.
    """
    allocator = exact.base_model.rankallocator
    # The allocator of a copy knows the copy of the configuration.
    assert allocator.peft_config is exact.peft_config["default"]
    optimizer = torch.optim.AdamW([p for _, p in trainable(exact)], lr=0.01, weight_decay=0.01)
    gaps = []
    mask_to_budget = allocator.mask_to_budget

    def watched(model, budget):
        """How far the threshold is from the next score, relatively: rounding must not decide."""
        pattern = mask_to_budget(model, budget)
        gaps.append(gap(allocator, model, budget))
        return pattern

    allocator.mask_to_budget = watched
    steps, values = [], {}
    total_step, tfinal = exact.peft_config["default"].total_step, exact.peft_config["default"].tfinal
    for step in range(total_step):
        optimizer.zero_grad()
        result = forward(exact, inputs)
        loss = loss_of(result.logits, inputs["labels"])
        penalty = orthogonality(exact)
        (loss + 0.5 * penalty).backward()
        official = exact(**inputs).loss.item()
        assert abs(official - loss.item() - 0.5 * penalty.item()) < 1e-5
        optimizer.step()
        count = len(gaps)
        exact.base_model.update_and_allocate(step)
        budget, mask = allocator.budget_schedule(step)
        kept = sum(int((p != 0).sum()) for name, p in exact.named_parameters() if "lora_E" in name)
        masked = len(gaps) > count or step > total_step - tfinal
        assert mask <= masked, step
        steps.append(
            {"loss": loss.item(), "orthogonality": penalty.item(), "returned": official, "budget": budget, "masked": masked, "kept": kept}
        )
        if step in (0, 4, 6, 7, 9, 12, 30, 48, 50, 51, 59):
            values |= {f"step.{step}.{key_of(name)}": p.detach().clone() for name, p in exact.named_parameters() if "lora_E" in name}
    print("gaps", min(gaps), "last", steps[-1])
    assert min(gaps) > 1e-3, gaps
    trained = {key_of(name): p.detach().clone() for name, p in trainable(exact)}
    pattern = exact.peft_config["default"].rank_pattern
    # Some matrix must have lost another number of ranks than the others.
    assert len({sum(mask) for mask in pattern.values()}) > 1, pattern
    logits = forward(exact.eval(), inputs).logits

    with torch.no_grad():
        for (_, p), (_, q) in zip(trainable(wrapped), trainable(exact)):
            p.copy_(q)
    wrapped.peft_config["default"].rank_pattern = copy.deepcopy(pattern)
    folder = OUT / "adalora-pruned"
    save(wrapped, folder)
    again = PeftModel.from_pretrained(base_model(base), folder, is_trainable=True)
    shapes = {name: tuple(p.shape) for name, p in trainable(again)}
    print(shapes)
    written, arrays = measure(again, base, inputs)
    worst = (arrays["logits"] - logits).abs().max() / logits.abs().max()
    assert worst < 1e-5, worst
    run = {"learning_rate": 0.01, "weight_decay": 0.01, "start": "adalora", "steps": steps, "rank_pattern": pattern}
    arrays |= values | {f"run.final.{key}": p for key, p in trained.items()} | {"run.logits": logits}
    write(folder, written | {"run": run}, arrays)


def gap(allocator, model, budget):
    """Between the last score that is masked and the first that is not, of the larger."""
    scores = []
    for name, p in model.named_parameters():
        if "lora_E" in name:
            at = {kind: allocator._element_score(name.replace("lora_E", kind)) for kind in ("lora_A", "lora_E", "lora_B")}
            scores.append(at["lora_E"].view(-1) + at["lora_A"].mean(1) + at["lora_B"].mean(0))
    ordered = torch.cat(scores).sort().values
    k = allocator.init_bgt - budget
    return ((ordered[k] - ordered[k - 1]) / ordered[k]).item()


def optimized(name, base, config, seed, make, settings):
    """Ten steps of an optimizer of PEFT's, and the parameters after them."""
    wrapped = wrap(base, config, seed)
    folder = OUT / name
    save(wrapped, folder)
    inputs = base_inputs(base)
    # Before the optimizer is made: that freezes parameters.
    written, arrays = measure(wrapped, base, inputs)
    written["adamw"] = {key: written.pop(key) for key in ("learning_rate", "weight_decay", "losses")}
    exact = exact_copy(wrapped)
    optimizer = make(exact)
    names = {id(p): key_of(key) for key, p in exact.named_parameters()}
    written |= settings
    written["groups"] = [
        {"lr": g["lr"], "weight_decay": g["weight_decay"], "names": [names[id(p)] for p in g["params"] if p.requires_grad]}
        for g in optimizer.param_groups
    ]
    started = [(key, p) for key, p in trainable(wrapped)]
    written["losses"] = curve(exact, inputs, optimizer)
    now = dict(exact.named_parameters())
    arrays |= {f"final.{key_of(key)}": now[key] for key, _ in started}
    written["unchanged"] = [key_of(key) for key, p in started if torch.equal(p.double(), now[key])]
    return folder, written, arrays, inputs


def lora_plus():
    settings = {"learning_rate": 0.002, "loraplus_lr_ratio": 16, "loraplus_weight_decay": 0.1, "loraplus_lr_embedding": 1e-6}

    def make(exact):
        options = {key: value for key, value in settings.items() if key != "learning_rate"}
        return create_loraplus_optimizer(exact, torch.optim.AdamW, lr=settings["learning_rate"], **options)

    config = LoraConfig(**LORA, target_modules=["embed_tokens", "q_proj", "down_proj"])
    folder, written, arrays, _ = optimized("lora-plus", "qwen2-window", config, 210, make, settings)
    write(folder, written, arrays)
    # Parameters of one dimension: of a bias, of a norm, and of lora_B.
    config = LoraConfig(**LORA, target_modules=["q_proj"], bias="lora_only", modules_to_save=["norm"], layers_to_transform=[0, 2])
    folder, written, arrays, _ = optimized("lora-plus-vectors", "qwen2-tied", config, 211, make, settings)
    write(folder, written, arrays)
    config = LoraConfig(**LORA, target_modules=["q_proj", "v_proj"], use_dora=True, layers_to_transform=[1])
    folder, written, arrays, _ = optimized("lora-plus-dora", "qwen2-tied", config, 212, make, settings)
    write(folder, written, arrays)


def lora_fa():
    """In float64 autocast to bfloat16 changes nothing; `float32_losses` are those of float32, where PEFT rounds to bfloat16."""
    settings = {"learning_rate": 0.01, "weight_decay": 0.1, "betas": [0.9, 0.999], "eps": 1e-6}

    def make(exact):
        return create_lorafa_optimizer(exact, r=4, lora_alpha=10, lr=0.01, weight_decay=0.1)

    patterns = {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {r"layers\.1\.self_attn\.q_proj": 3}}
    for name, options in {"lora-fa": patterns, "lora-fa-rslora": {"use_rslora": True}}.items():
        config = LoraConfig(**LORA, target_modules=["q_proj", "v_proj"], **options)
        folder, written, arrays, inputs = optimized(name, "qwen2-tied", config, 215, make, settings)
        rounded = PeftModel.from_pretrained(base_model("qwen2-tied"), folder, is_trainable=True)
        written["float32_losses"] = curve(rounded, inputs, make(rounded))
        write(folder, written, arrays)


def lora():
    """Initializations and variants of LoRA itself. golden/peft-language has more."""
    several = ["q_proj", "v_proj", "down_proj"]
    plain("lora-gaussian", "qwen2-tied", LoraConfig(**LORA, init_lora_weights="gaussian", target_modules=several), 220)
    plain("lora-rslora", "qwen2-tied", LoraConfig(**LORA, use_rslora=True, target_modules=several), 221)
    plain("lora-bias", "qwen2-tied", LoraConfig(**LORA, lora_bias=True, target_modules=["q_proj", "v_proj"]), 222)
    plain("lora-embedding", "qwen2-window", LoraConfig(**LORA, target_modules=["embed_tokens", "v_proj"]), 223)
    config = LoraConfig(**LORA, init_lora_weights="orthogonal", target_modules=several)
    plain("lora-orthogonal", "qwen2-tied", config, 224)
    start = wrap("qwen2-tied", config, 224, noise=0)
    for name, module in start.named_modules():
        if hasattr(module, "lora_B") and name.endswith("_proj"):
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            assert (b @ a).abs().max() < 1e-6 < a.abs().max(), name
    file = OUT / "lora-orthogonal" / "expected.safetensors"
    initial = {f"initial.{key_of(name)}": p.detach() for name, p in trainable(start)}
    save_file(load_file(file) | initial, file, metadata={"format": "pt"})


def loftq():
    """The product of B and A is what quantization loses, not multiplied by the scaling that PEFT computes with."""
    loftq_on_cpu()
    base = "qwen2-window"
    inputs = base_inputs(base)
    for seed, (name, bits, iterations, alpha) in enumerate(
        [("loftq", 4, 1, 10), ("loftq-5", 4, 5, 4), ("loftq-8-bit", 8, 1, 10)], start=230
    ):
        # 24·24 and 12·24 weights: blocks of 64, the last of which is not full.
        config = LoraConfig(
            r=4,
            lora_alpha=alpha,
            init_lora_weights="loftq",
            loftq_config={"loftq_bits": bits, "loftq_iter": iterations},
            target_modules=["q_proj", "v_proj"],
        )
        original = {key: p.detach() for key, p in base_model(base).named_parameters()}
        wrapped = wrap(base, config, seed, noise=0)
        arrays = {f"initial.{key_of(key)}": p.detach().clone() for key, p in trainable(wrapped)}
        for key, p in wrapped.named_parameters():
            if not key.endswith("base_layer.weight"):
                continue
            key = key.replace(".base_layer", "").removeprefix("base_model.model.")
            module = wrapped.base_model.model.get_submodule(key.removesuffix(".weight"))
            product = module.lora_B["default"].weight @ module.lora_A["default"].weight
            lost, left = (original[key] - p).norm(), (original[key] - p - product).norm()
            assert 0 < left < 0.8 * lost, (key, left, lost)
            arrays[f"residual.{key}"] = p.detach().clone()
        add_noise(wrapped, NOISE)
        folder = OUT / name
        save(wrapped, folder)
        written, more = measure(wrapped, base, inputs)
        write(folder, written, arrays | more)
        reloads(folder, base, inputs, more["logits"])


GROUPS = (
    dora, pissa, vera, loha, lokr, ia3, ln_tuning, prefix, prompt, p_tuning, adalora, lora_plus, lora_fa, lora, loftq,
)  # fmt: skip


def main():
    asked = sys.argv[1:]
    if not asked:
        shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(exist_ok=True)
    for group in GROUPS:
        if not asked or group.__name__ in asked:
            group()
    versions = {
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "seed": SEED,
    }
    (OUT / "manifest.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
