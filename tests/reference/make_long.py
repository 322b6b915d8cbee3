"""Writes tests/fixtures/long.json: logits of texts longer than what the models of make_families.py were made for, of all
kinds of positions that know no end.

    python tests/reference/make_long.py

`logits` are the last position's, of the first 16 tokens; of T5 those behind the start token.
"""

import json
import random

import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from make_families import OUT as FAMILIES

N = 90  # the models' context is 40
CAUSAL = ["bloom", "falcon-rw", "llama", "llama-3.1", "llama-yarn", "llama-dynamic", "phi3-longrope", "gpt_neox", "gemma2"]
KINDS = {
    AutoModelForCausalLM: CAUSAL,
    AutoModelForMaskedLM: ["deberta-v3", "modernbert"],
    AutoModelForSeq2SeqLM: ["t5", "mt5", "m2m_100"],
}


def main():
    rng = random.Random(4)
    found = {}
    for auto, names in KINDS.items():
        for name in names:
            kind = "sdpa" if name == "falcon-rw" else "eager"
            model = auto.from_pretrained(FAMILIES / name, attn_implementation=kind).eval()
            ids = [rng.randrange(3, model.config.vocab_size) for _ in range(N)]
            more = {}
            if auto is AutoModelForSeq2SeqLM:
                more["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id]])
            with torch.no_grad():
                logits = model(torch.tensor([ids]), **more).logits[0, -1, :16]
            found[name] = {"ids": ids, "logits": [round(x, 6) for x in logits.tolist()]}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in found.items())
    (FAMILIES.parent / "long.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
