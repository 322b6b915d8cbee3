"""Writes tests/fixtures/tokenizers: a tiny tokenizer of every kind, and what transformers makes of texts with it.

    python tests/reference/make_tokenizers.py

Each folder `NAME` has a tokenizer's files; `NAME.json` holds, per text, `text`, `ids`, `decoded`, `plain` (decoded
without special tokens); `parts`, each beginning of the ids decoded; and `garbage`, ids in an order that no text has,
decoded. `chats.json` holds templates, messages, and what they render to, as text and as ids.
"""

import json
import random
import shutil
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import BertTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast, RobertaTokenizer

import make_templates

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "tokenizers"

CORPUS = """The countries of the European Union are: Austria, Belgium, Bulgaria, Croatia.
Où est la bibliothèque ? Il était une fois, à l'été, une forêt. Größe, Straße, naïve café.
She said that they were reading the book in the garden, and he wasn't sure what it was about.
In 1984 there were 365 days; in 1985, again: Monday, Tuesday, Wednesday. Reading, writing, singing.
""".splitlines()

TEXTS = [
    "",
    " ",
    "The garden",
    " leading space",
    "several    spaces  here ",
    "two\nlines\n\nand\ttab\r\n",
    "Où est l'été ? Größe!",
    "🎉 party 👩‍👩‍👧 日本語",
    "don't , do not . we 've",
    "reading <s> and [SEP] </s> or [MASK]<unk>",
    "▁ stays ▁▁ ##ing <0x41>",
    "e\u0301 combining \u200b zero\u00a0width \ufeff",
    "ﬁne ＦＵＬＬ ①",
]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, dict(bos_token="<s>", eos_token="</s>")


def llama3():
    """Byte-level, with a beginning of text and words split by a pattern."""
    tokenizer, special = byte_level()
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)]),
    ])
    tokenizer.add_special_tokens([AddedToken("<|start header|>", special=True, normalized=False)])
    return tokenizer, special


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer, dict(
        unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", pad_token="[PAD]"
    )


def unigram():
    """As T5 and XLM-R have it: words begin with a ▁ that stands for the space before them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=220, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer, dict(eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def byte_fallback():
    """As Llama 2 and Mistral have it: what the vocabulary lacks is bytes, and the space before the text is taken off."""
    special = ["<unk>", "<s>", "</s>"]
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    trainer = trainers.BpeTrainer(vocab_size=220, special_tokens=special, show_progress=False)
    learner.train_from_iterator(CORPUS, trainer)
    learnt = json.loads(learner.to_str())["model"]
    words = [word for word in learnt["vocab"] if word not in special]
    listed = special + [f"<0x{byte:02X}>" for byte in range(256)] + words
    vocabulary = {token: id for id, token in enumerate(listed)}
    merges = [tuple(merge) for merge in learnt["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0),
    ])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer, dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def gemma():
    """Byte fallback, with no space put before the text."""
    tokenizer, special = byte_fallback()
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer, special


def metaspace_fallback():
    """Llama's newer way to say the same."""
    tokenizer, special = byte_fallback()
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return tokenizer, special | dict(add_bos_token=True, add_eos_token=True)


def suffixes():
    """Words end with </w>."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=260, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer, dict(unk_token="<unk>")


KINDS = dict(
    byte_level=byte_level, llama3=llama3, word_piece=word_piece, unigram=unigram, byte_fallback=byte_fallback, gemma=gemma,
    metaspace_fallback=metaspace_fallback, suffixes=suffixes,
)


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def reference(tokenizer):
    runs = []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        runs.append(dict(
            text=text, ids=ids, decoded=tokenizer.decode(ids, clean_up_tokenization_spaces=False),
            plain=tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            parts=[tokenizer.decode(ids[:n], clean_up_tokenization_spaces=False) for n in range(1, len(ids))],
        ))
    rng = random.Random(3)
    shuffled = [[rng.randrange(len(tokenizer)) for _ in range(40)] for _ in range(8)]
    garbage = [dict(ids=ids, decoded=tokenizer.decode(ids, clean_up_tokenization_spaces=False)) for ids in shuffled]
    return dict(texts=runs, garbage=garbage)


def fast():
    for name, make in KINDS.items():
        folder = OUT / name
        folder.mkdir(parents=True)
        tokenizer, settings = make()
        (folder / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False))
        write(folder / "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast") | settings)
        write(OUT / f"{name}.json", reference(PreTrainedTokenizerFast.from_pretrained(folder)))


def slow():
    """Folders without a tokenizer.json, read by transformers from the old files."""
    learnt = json.loads(byte_level()[0].to_str())["model"]
    merges = "#version: 0.2\n" + "\n".join(" ".join(merge) for merge in learnt["merges"]) + "\n"
    words = dict(learnt["vocab"])
    for name, cls, extra in [
        ("slow-gpt2", GPT2Tokenizer, ["<|endoftext|>"]), ("slow-opt", GPT2Tokenizer, []),
        ("slow-roberta", RobertaTokenizer, ["<unk>", "<pad>", "<mask>"]),
    ]:
        folder = OUT / name
        folder.mkdir()
        vocabulary = words | {token: len(words) + index for index, token in enumerate(extra)}
        write(folder / "vocab.json", vocabulary)
        (folder / "merges.txt").write_text(merges)
        settings = dict(tokenizer_class=cls.__name__)
        if name == "slow-opt":
            settings |= dict(add_bos_token=True, bos_token="</s>", eos_token="</s>", unk_token="</s>")
        if cls is RobertaTokenizer:
            mask = dict(content="<mask>", lstrip=True, normalized=False, rstrip=False, single_word=False, special=True)
            settings |= dict(add_prefix_space=True, added_tokens_decoder={str(vocabulary["<mask>"]): mask}, mask_token="<mask>")
        write(folder / "tokenizer_config.json", settings)
        write(OUT / f"{name}.json", reference(cls.from_pretrained(folder)))
    vocabulary = json.loads(word_piece()[0].to_str())["model"]["vocab"]
    for name, settings in [("slow-bert", {}), ("slow-bert-cased", dict(do_lower_case=False, tokenize_chinese_chars=False))]:
        folder = OUT / name
        folder.mkdir()
        (folder / "vocab.txt").write_text("".join(token + "\n" for token in vocabulary))
        write(folder / "tokenizer_config.json", dict(tokenizer_class="BertTokenizer") | settings)
        write(OUT / f"{name}.json", reference(BertTokenizer.from_pretrained(folder)))


def added():
    """The same with an added_tokens.json, as folders have that are older still."""
    # A byte-level decoder takes the letters of added tokens for bytes: those have none beyond ASCII.
    listed = {GPT2Tokenizer: ["<|ask|>", "party", "spaces", "<unk>"], BertTokenizer: ["<|ask|>", "party", "Größe", "[MASK]"]}
    for name, cls, settings in [
        ("slow-gpt2-added", GPT2Tokenizer, dict(unk_token="<unk>", additional_special_tokens=["<|ask|>"])),
        ("slow-bert-added", BertTokenizer, {}),
    ]:
        folder = OUT / name
        shutil.copytree(OUT / name.removesuffix("-added"), folder)
        (folder / "added_tokens.json").unlink(missing_ok=True)
        size = len(cls.from_pretrained(folder))
        known = json.loads((folder / "vocab.json").read_text()) if cls is GPT2Tokenizer else {"[MASK]": 4}
        new = [token for token in listed[cls] if token not in known]
        write(folder / "added_tokens.json", {token: size + index for index, token in enumerate(new)})
        write(folder / "tokenizer_config.json", dict(tokenizer_class=cls.__name__) | settings)
        write(OUT / f"{name}.json", reference(cls.from_pretrained(folder)))


CHATML = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful assistant.<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

LLAMA3 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {{- "You have these functions:\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}"""

MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
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
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{% generation %}{{ '<|assistant|>\\n'  + message['content'] + eos_token }}{% endgeneration %}

{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

TEMPLATES = dict(chatml=CHATML, llama3=LLAMA3, gemma=GEMMA, mistral=MISTRAL, qwen3=QWEN3, zephyr=ZEPHYR)

WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "Today's, for \"a place\" <here>", "parameters": {
        "type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}, "required": [],
    },
}}
SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": " Où est l'été ? 🎉 "}
ANSWER = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHere.\n"}
CALL = {"role": "assistant", "tool_calls": [
    {"type": "function", "function": {"name": "weather", "arguments": {"place": "Köln", "days": 2, "exact": True, "unit": None}}}
]}
CONVERSATIONS = {
    "user": ([USER], {}),
    "system": ([SYSTEM, USER], {}),
    "turns": ([SYSTEM, USER, ANSWER, USER], {}),
    "no prompt": ([USER, ANSWER], {"add_generation_prompt": False}),
    "two users": ([USER, USER], {}),
    "tools": ([USER, CALL, {"role": "tool", "content": {"degrees": [20.5, 21]}}], {"tools": [WEATHER]}),
    "no thinking": ([SYSTEM, USER], {"enable_thinking": False}),
    "goes on": ([USER, ANSWER], {"add_generation_prompt": False, "continue_final_message": True}),
    "goes on with a space": (
        [USER, {"role": "assistant", "content": "It was "}],
        {"add_generation_prompt": False, "continue_final_message": True},
    ),
}


def chats():
    tokenizer = PreTrainedTokenizerFast.from_pretrained(OUT / "byte_fallback")
    cases = []
    for name, template in TEMPLATES.items():
        for what, (messages, options) in CONVERSATIONS.items():
            options = {"add_generation_prompt": True} | options
            case = dict(template=name, messages=messages, options=options)
            try:
                text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **options)
                ids = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=True, return_dict=False, **options)
                case |= dict(text=text, ids=ids)
            except Exception as error:
                case |= dict(error=str(error))
            cases.append(case)
            print(name, what, case.get("error", "")[:90])
    write(OUT / "chats.json", dict(templates=TEMPLATES, cases=cases))


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    fast()
    slow()
    added()
    chats()
    make_templates.main()
