"""What LLaMA-Factory's templates write for one conversation: golden/lf-templates.json.

    LLAMA_FACTORY=<a checkout of hiyouga/LLaMA-Factory> python golden/make/lf_templates.py

Only `llamafactory.data.template` and what it needs is imported; what sees and hears is left out.
"""

import importlib.machinery
import json
import os
import pathlib
import sys
import types

root = pathlib.Path(os.environ["LLAMA_FACTORY"]) / "src" / "llamafactory"
for name in ["llamafactory", "llamafactory.data", "llamafactory.extras"]:
    package = types.ModuleType(name)
    package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
    sys.modules[name] = package


class Absent(types.ModuleType):
    """A package that is only named in types."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


for name in ["datasets", "trl", "fire", "omegaconf", "peft", "accelerate"]:
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = Absent(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
sys.modules["llamafactory.data.mm_plugin"] = Absent("mm_plugin")
sys.modules["llamafactory.data.mm_plugin"].get_mm_plugin = lambda *args, **kwargs: None

from llamafactory.data import template as lf  # noqa: E402


class Tokenizer:
    """Tokens are texts."""

    bos_token = bos_token_id = "<s>"
    eos_token = eos_token_id = "</s>"

    def encode(self, text, add_special_tokens):
        return [text]

    def convert_tokens_to_ids(self, token):
        return token


CONVERSATION = [
    {"role": role, "content": content}
    for role, content in [("user", "Q1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2")]
]


def turns(template, **options):
    pairs = template.encode_multiturn(Tokenizer(), CONVERSATION, **options)
    return [text for source, target in pairs for text in ("".join(source), "".join(target))]


templates = {
    name: {"plain": turns(template), "system": turns(template, system="SYS"), "stops": template.stop_words}
    for name, template in lf.TEMPLATES.items()
}
path = pathlib.Path(__file__).parents[1] / "lf-templates.json"
lines = [f"{json.dumps(name)}: {json.dumps(made, ensure_ascii=False)}" for name, made in sorted(templates.items())]
path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
print(path, path.stat().st_size)
