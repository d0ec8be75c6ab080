"""What golden/make/peft_methods.py measures of an adapted model, and how it is written. See there."""

import copy
import inspect
import json
import pathlib
import shutil
import warnings

import torch
import torch.nn.functional as F
import transformers
from peft import AdaLoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

SEED = 20250311
GOLDEN = pathlib.Path(__file__).parents[1]
BASES = GOLDEN / "causal-lm"
OUT = GOLDEN / "peft-methods"
LEARNING_RATE = 0.005
WEIGHT_DECAY = 0.1
STEPS = 10
NOISE = 0.2
IGNORED = -100
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
# Everything is tiny.
torch.set_num_threads(1)


def base_model(name):
    model = AutoModelForCausalLM.from_pretrained(BASES / name, attn_implementation="sdpa")
    # What is not the adapter's business is not written: where this script ran.
    model.config._name_or_path = model.name_or_path = ""
    return model


def base_inputs(name):
    batch = json.loads((BASES / name / "batch.json").read_text())
    return {key: torch.tensor(batch[key]) for key in ("input_ids", "attention_mask", "position_ids", "labels")}


def prompt_inputs(vocabulary):
    """Three rows of 8, 5 and 3 tokens, padded on the right."""
    generator = torch.Generator().manual_seed(SEED)
    tokens = torch.randint(0, vocabulary, (3, 8), generator=generator)
    mask = torch.ones_like(tokens)
    mask[1, 5:] = mask[2, 3:] = 0
    labels = tokens.masked_fill(mask == 0, IGNORED)
    # The first label is where methods differ: not all rows ignore it.
    labels[0, 2] = labels[1, 0] = labels[1, 3] = IGNORED
    return {"input_ids": tokens, "attention_mask": mask, "labels": labels}


def wrap(base, config, seed, noise=NOISE):
    """The adapted model, with noise added to its trainable parameters: float32."""
    torch.manual_seed(seed)
    config.task_type = config.task_type or "CAUSAL_LM"
    config.base_model_name_or_path = ""
    wrapped = get_peft_model(base_model(base), config)
    add_noise(wrapped, noise)
    return wrapped


def add_noise(wrapped, noise):
    with torch.no_grad():
        for _, p in trainable(wrapped):
            p.add_(torch.randn_like(p) * noise)


def save(wrapped, folder, **options):
    shutil.rmtree(folder, ignore_errors=True)
    for config in wrapped.peft_config.values():
        # Lists that PEFT makes of sets have another order each time.
        for key in ("target_modules", "feedforward_modules", "modules_to_save", "exclude_modules"):
            if isinstance(getattr(config, key, None), (set, list)):
                setattr(config, key, sorted(getattr(config, key)))
    wrapped.save_pretrained(folder, **options)
    for extra in ("README.md", "generation_config.json"):
        (folder / extra).unlink(missing_ok=True)
    # PEFT writes it for its owner alone.
    (folder / "adapter_model.safetensors").chmod(0o644)


def exact_copy(wrapped):
    return copy.deepcopy(wrapped).double().eval()


def trainable(wrapped):
    return [(name, p) for name, p in wrapped.named_parameters() if p.requires_grad]


def key_of(name):
    """The key of a parameter in adapter_model.safetensors."""
    for part in (".modules_to_save.default", ".default"):
        name = name.replace(part, "")
    return name.removesuffix(".weight") if name.endswith("lora_magnitude_vector.weight") else name


def forward(model, inputs):
    given = {key: x for key, x in inputs.items() if key != "labels"}
    return model(**given, use_cache=False) if "position_ids" in inputs else model(**given)


def loss_of(logits, labels):
    """Cross-entropy in float64. Prompt tokens have logits and no label; the first label counts there."""
    virtual = logits.shape[1] - labels.shape[1]
    labels = F.pad(labels, (virtual, 0), value=IGNORED)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def curve(exact, inputs, optimizer=None, steps=STEPS, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY):
    """Losses of steps of AdamW."""
    if optimizer is None:
        parameters = [p for _, p in trainable(exact)]
        optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(forward(exact, inputs).logits, inputs["labels"])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def first_block(name):
    return ".layers.0." in name or ".h.0." in name or "embed_tokens" in name or "wte" in name or name.startswith("model.norm")


def merged(exact, inputs):
    """The logits of the merged model, and the weights of it that differ from the base's, in block 0."""
    before = {}
    for name, p in exact.base_model.model.named_parameters():
        if ".base_layer." in name or ".original_module." in name:
            before[name.replace(".base_layer", "").replace(".original_module", "")] = p.detach().clone()
    model = copy.deepcopy(exact).merge_and_unload()
    after = dict(model.named_parameters())
    changed = {f"merged.{name}": after[name] for name, p in before.items() if not torch.equal(p, after[name])}
    assert changed
    arrays = {name: p for name, p in changed.items() if first_block(name.removeprefix("merged."))}
    return {"merged_logits": forward(model, inputs).logits} | arrays


def measure(wrapped, base, inputs, mergeable=True):
    """What a case has at least."""
    exact = exact_copy(wrapped)
    result = forward(exact, inputs)
    loss = loss_of(result.logits, inputs["labels"])
    official = exact(**inputs).loss
    if not isinstance(wrapped.active_peft_config, AdaLoraConfig):
        # transformers computes it in float32.
        torch.testing.assert_close(official.float(), loss.float(), rtol=1e-5, atol=1e-6)
    with exact.disable_adapter(), torch.no_grad():
        base_logits = forward(exact, inputs).logits
    # Virtual tokens come first.
    assert (base_logits - result.logits[:, -base_logits.shape[1] :]).abs().max() > 0.1
    loss.backward()
    arrays = {"logits": result.logits}
    for name, p in trainable(exact):
        assert p.grad.abs().max() > 0, name
        # A QR decomposition has zeros by itself.
        assert (p != 0).float().mean() > 0.8, name
        arrays[f"gradient.{key_of(name)}"] = p.grad.clone()
    if mergeable:
        arrays |= merged(exact, inputs)
    exact.zero_grad()
    losses = curve(exact, inputs)
    written = {"base": base} | {key: x.tolist() for key, x in inputs.items()}
    written |= {"loss": loss.item(), "learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY, "losses": losses}
    return written, arrays


def write(folder, written, arrays):
    (folder / "expected.json").write_text(json.dumps(written) + "\n")
    stored = {key: x.detach().float().clone().contiguous() for key, x in arrays.items()}
    save_file(stored, folder / "expected.safetensors", metadata={"format": "pt"})
    print(folder.name, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))


def reloads(folder, base, inputs, logits, tolerance=1e-5):
    """PEFT computes the same from the files."""
    again = PeftModel.from_pretrained(base_model(base), folder)
    found = forward(exact_copy(again), inputs).logits
    assert found.shape == logits.shape
    worst = (found - logits).abs().max() / logits.abs().max()
    assert worst < tolerance, worst


def plain(name, base, config, seed, noise=NOISE, mergeable=True, again=True):
    """A case without anything special."""
    wrapped = wrap(base, config, seed, noise)
    folder = OUT / name
    save(wrapped, folder)
    inputs = base_inputs(base)
    written, arrays = measure(wrapped, base, inputs, mergeable)
    keys = {key.removeprefix("gradient.") for key in arrays if key.startswith("gradient.")}
    assert keys <= load_file(folder / "adapter_model.safetensors").keys(), keys
    if mergeable:
        worst = (arrays["logits"] - arrays["merged_logits"]).abs().max()
        assert worst < 1e-4, worst
    write(folder, written, arrays)
    if again:
        reloads(folder, base, inputs, arrays["logits"])


def loftq_on_cpu():
    """PEFT decomposes on a GPU only; the same function, of which one word is another."""
    from peft.tuners.lora import layer
    from peft.utils import loftq_utils

    source = inspect.getsource(loftq_utils.loftq_init)
    assert source.count('"cuda"') == 1
    found = {}
    exec(source.replace('"cuda"', '"cpu"'), vars(loftq_utils), found)
    layer.loftq_init = torch.no_grad()(found["loftq_init"])
