"""Conversations rendered by transformers' `apply_chat_template`: golden/chat-templates.json.

The templates of `text` are written after those of well-known models, one for each of the habits that matter: tools,
thoughts that are taken out of earlier turns, today's date, a system prompt that is refused, an end of text that is
written only after the last answer. With SHARED_DATA set to a folder that has `tokenizers/`, the templates
there are rendered too, into the part `files`, which holds no template but its path.
"""

import hashlib
import json
import os
import pathlib

import transformers
from transformers.utils.chat_template_utils import render_jinja_template

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

QWEN3 = r"""{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls or [] %}
            {%- if (loop.first and content) or (not loop.first) %}{{- '\n' }}{%- endif %}
            {{- '<tool_call>\n{"name": "' + tool_call.function.name + '", "arguments": ' + (tool_call.function.arguments | tojson) + '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\n<tool_response>\n' + content + '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""

GEMMA = r"""{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}"""

LLAMA2 = r"""{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""

R1 = r"""{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}{%- for message in messages %}{%- if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{%- elif message['role'] == 'assistant' %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{%- endif %}{%- endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"""

PHI = r"""{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'user' %}{{'<|user|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>
' + message['content'] + '<|end|>
'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>
' }}{% else %}{{ eos_token }}{% endif %}"""

MISTRAL = r"""{{ bos_token }}{%- if tools is not none %}{{- '[AVAILABLE_TOOLS] ' + (tools | map(attribute='function') | list | tojson) + '[/AVAILABLE_TOOLS]' }}{%- endif %}{%- for message in messages %}{%- if message.role == 'user' %}{{- '[INST] ' + message.content + '[/INST]' }}{%- elif message.tool_calls is defined and message.tool_calls is not none %}{{- '[TOOL_CALLS] [' }}{%- for call in message.tool_calls %}{%- set out = call.function | tojson %}{{- out[:-1] }}{%- if not call.id is defined or call.id | length != 9 %}{{- raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{%- endif %}{{- ', "id": "' + call.id + '"}' }}{%- if not loop.last %}{{- ', ' }}{%- endif %}{%- endfor %}{{- ']' + eos_token }}{%- elif message.role == 'assistant' %}{{- ' ' + message.content | trim + eos_token }}{%- elif message.role == 'tool' %}{{- '[TOOL_RESULTS] {"content": ' + message.content|string + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}{%- else %}{{- raise_exception('Only user, assistant and tool roles are supported') }}{%- endif %}{%- endfor %}"""

DATED = r"""{%- if not date_string is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}
{{- bos_token }}Today is {{ date_string }}.
{% for message in messages %}
    {%- generation %}{{- '<' ~ message.role ~ '>' ~ message.content | trim ~ eos_token }}{%- endgeneration %}
{% endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}"""

TEMPLATES = {"qwen3": QWEN3, "gemma": GEMMA, "llama2": LLAMA2, "r1": R1, "phi": PHI, "mistral": MISTRAL, "dated": DATED}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, *calls):
    message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [{"type": "function", "function": {"name": n, "arguments": a}} for n, a in calls]
    return message


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Wetter für <Städte> & \"Orte\"",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}
CONVERSATIONS = {
    "one": [user("Wie geht's?"), assistant("Gut, danke. 🚀")],
    "system": [{"role": "system", "content": "Be brief."}, user("Hi\n"), assistant("Hello")],
    "thoughts": [
        user("2+2?"),
        assistant("<think>\nEasy.\n</think>\n\n4"),
        user("And 3+3?"),
        assistant("<think>\nAgain.\n</think>\n\n6"),
    ],
    "plain": [user("2+2?"), assistant("4"), user(" And 3+3? "), assistant(" 6 \n")],
    "tools": [
        user("Weather?"),
        assistant("", ("weather", {"city": "Köln", "days": 2}), ("weather", {"city": "Bonn", "days": 1})),
        {"role": "tool", "content": '{"sun": true}'},
        {"role": "tool", "content": "rain"},
        assistant("Mixed."),
    ],
}


def with_ids(messages):
    """Numbers of calls, as the library gives them to templates that ask for them."""
    calls, answers, out = 0, 0, []
    for message in json.loads(json.dumps(messages)):
        for call in message.get("tool_calls", []):
            call["id"] = f"call{calls:05}"
            calls += 1
        if message["role"] == "tool":
            message["tool_call_id"] = f"call{answers:05}"
            answers += 1
        out.append(message)
    return out


def render(template, messages, tools, **variables):
    """The text, or what the template says against the conversation."""
    try:
        (text,), _ = render_jinja_template(
            [messages], tools=tools, chat_template=template, **{**TOKENS, **variables}
        )
        return {"text": text}
    except Exception as error:  # noqa: BLE001: templates raise what they like
        return {"refused": str(error)}


def cases_of(template, date):
    needs_ids = "tool_call_id" in template or "call.id" in template
    for name, messages in CONVERSATIONS.items():
        given = with_ids(messages) if needs_ids else messages
        tools = [WEATHER] if name == "tools" else None
        for variables in (
            {},
            {"add_generation_prompt": True},
            {"add_generation_prompt": True, "enable_thinking": False},
        ):
            asked = given[:-1] if variables else given
            yield {"conversation": name, **variables, **render(template, asked, tools, **variables, **date)}


def compact(made):
    """Long texts by their hash."""
    for case in made:
        if len(case.get("text", "")) > 1000:
            case["sha256"] = hashlib.sha256(case.pop("text").encode()).hexdigest()
    return made


fixed = {"date_string": "26 Jul 2024"}
golden = {
    "transformers": transformers.__version__,
    "tokens": TOKENS,
    "tools": [WEATHER],
    "conversations": CONVERSATIONS,
    "text": {name: {"source": source, "cases": list(cases_of(source, fixed))} for name, source in TEMPLATES.items()},
    "files": {},
}
shared = os.environ.get("SHARED_DATA")
if shared:
    for path in sorted((pathlib.Path(shared) / "tokenizers").glob("**/*.jinja")):
        name = path.relative_to(shared).as_posix()
        golden["files"][name] = compact(list(cases_of(path.read_text(), fixed)))
    for path in sorted((pathlib.Path(shared) / "tokenizers").glob("*/tokenizer_config.json")):
        template = json.loads(path.read_text())["chat_template"]
        name = path.relative_to(shared).as_posix()
        golden["files"][name] = compact(list(cases_of(template, fixed)))

path = pathlib.Path(__file__).parents[1] / "chat-templates.json"
path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")
print(path, path.stat().st_size)
