"""Writes tests/fixtures/planted: a tiny Llama that is trained so that it is known which token an answer comes from.

    python tests/reference/make_planted.py

Two tasks, both on words drawn at random, so that nothing but the context holds the answer:

- lookup by key: `k3= s7 ; k1= s12 ; … ; k3=` is followed by `s7`
- induction: `s4 s17 s9 s30 … s17` is followed by `s9`

In most of the training texts any words may be holes (zero embeddings), the baseline that methods compare with: what a
model does at an input that it has never seen is no evidence. An answer hangs on three words: itself, the key before it,
and the question at the end. Without any of them the model can only guess.
"""

import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "planted"
N_SYMBOLS, N_KEYS = 40, 10
WORDS = ["<pad>", ";", *(f"k{i}=" for i in range(N_KEYS)), *(f"s{i}" for i in range(N_SYMBOLS))]
SEMICOLON, KEYS, SYMBOLS = 1, 2, 2 + N_KEYS
CONTEXT, N_QUERIES, BATCH, N_STEPS = 48, 6, 64, 6000
N_PROMPTS = 50


def distinct(n_rows: int, n: int, n_of: int, generator) -> torch.Tensor:
    """Rows of n different numbers below n_of."""
    return torch.rand(n_rows, n_of, generator=generator).argsort(1)[:, :n]


def lookup(n_rows: int, generator, n_queries: int):
    """Ids, where each answer stands in them, and where the answers, keys come from: one text per row, equally long."""
    n_pairs = int(torch.randint(4, 8, (1,), generator=generator))
    keys = KEYS + distinct(n_rows, n_pairs, N_KEYS, generator)
    values = SYMBOLS + distinct(n_rows, n_pairs, N_SYMBOLS, generator)
    asked = distinct(n_rows, min(n_queries, n_pairs), n_pairs, generator)
    clause = lambda key, value: torch.stack([key, value, torch.full_like(key, SEMICOLON)], 2).flatten(1)
    ids = torch.cat([clause(keys, values), clause(keys.gather(1, asked), values.gather(1, asked))], 1)
    answers = torch.tensor([3 * n_pairs + 3 * i + 1 for i in range(asked.shape[1])])
    return ids, answers, 3 * asked + 1, 3 * asked


def induction(n_rows: int, generator, n_queries: int):
    n = int(torch.randint(8, 15, (1,), generator=generator))
    listed = SYMBOLS + distinct(n_rows, n, N_SYMBOLS, generator)
    asked = distinct(n_rows, n_queries, n - 1, generator)
    pairs = torch.stack([listed.gather(1, asked), listed.gather(1, asked + 1)], 2).flatten(1)
    answers = torch.tensor([n + 2 * i + 1 for i in range(n_queries)])
    return torch.cat([listed, pairs], 1), answers, asked + 1, asked


TASKS = {"lookup": lookup, "induction": induction}


def holes_in(ids, generator) -> torch.Tensor:
    """Where texts have holes: none in a quarter of them, anywhere at a rate of up to a half in the others."""
    rate = (torch.rand(len(ids), 1, generator=generator) - 0.25).clamp_min(0) * (0.5 / 0.75)
    return torch.rand(ids.shape, generator=generator) < rate


def loss_of(model, text, generator, with_holes: bool):
    ids, answers = text[:2]
    embeddings = model.get_input_embeddings()(ids)
    if with_holes:
        embeddings = embeddings.masked_fill(holes_in(ids, generator).unsqueeze(-1), 0.0)
    logits = model(inputs_embeds=embeddings).logits[:, answers - 1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, answers].flatten())


def train() -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(WORDS), max_position_embeddings=CONTEXT, hidden_size=48, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, rope_theta=100.0, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    ))
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, N_STEPS, pct_start=0.2)
    for step in range(N_STEPS):
        losses = {}
        for name, task in TASKS.items():
            losses[name] = loss_of(model, task(BATCH, generator, N_QUERIES), generator, step > N_STEPS // 4)
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 250 == 0:
            print(step, {name: round(loss.item(), 3) for name, loss in losses.items()}, flush=True)
    return model.eval()


def prompts(model) -> dict:
    """Texts up to a single query, with the answer and the places of its evidence."""
    generator = torch.Generator().manual_seed(2)
    made = {}
    for name, task in TASKS.items():
        made[name], first = [], 0
        while len(made[name]) < N_PROMPTS:
            ids, answers, sources, keys = task(1, generator, 1)
            text, answer = ids[0, : answers[0]], ids[0, answers[0]].item()
            place, key = sources[0, 0].item(), keys[0, 0].item()
            with torch.no_grad():
                every = model.get_input_embeddings()(text) * (1 - torch.eye(len(text) + 1, len(text))).unsqueeze(-1)
                p = model(inputs_embeds=every).logits[:, -1].softmax(-1)[:, answer]
            probability = p[-1].item()
            first += p[:-2].argmin().item() in (place, key)  # the question aside
            made[name].append({
                "text": " ".join(WORDS[id] for id in text), "ids": text.tolist(), "answer": answer,
                "source": place, "key": key, "probability": round(probability, 4),
            })
        right = [prompt["probability"] for prompt in made[name]]
        print(name, first, "have most from the answer or its key; mean and lowest probability of the answer", sum(right) / len(right), min(right))
    return made


def main() -> None:
    torch.set_num_threads(1)
    model = train().half()
    shutil.rmtree(OUT, ignore_errors=True)
    model.save_pretrained(OUT)
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(WORDS)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<pad>"])
    tokenizer.save(str(OUT / "tokenizer.json"))
    lines = json.dumps(prompts(model.float()), ensure_ascii=False).replace("}, ", "},\n ").replace("], ", "],\n ")
    (OUT / "prompts.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
