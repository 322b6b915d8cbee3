"""Writes tests/fixtures/lens.json: what each layer's hidden state says through the final norm and the head, by transformers.

    python tests/reference/make_lens.py

The models are those of the other scripts. `depth` 0 is before the first layer; the last hidden state that transformers
hands out is after the final norm. `raw_ranks` are those of the Python library's projection: the hidden states as they are
handed out, straight through the head. Entropy and divergence (of the output from the layer) are numpy's, in nats.
"""

import json

import numpy as np
import torch
import transformers

from make_fixtures import FIXTURES

# folder: class, the final norm
MODELS = {
    "gpt2-tiny": ("CausalLM", "transformer.ln_f"),
    "families/llama": ("CausalLM", "model.norm"),
    "families/gemma2": ("CausalLM", "model.norm"),
    "families/t5": ("Seq2SeqLM", "decoder.final_layer_norm"),
    "families/flan-t5": ("Seq2SeqLM", "decoder.final_layer_norm"),
    "families/bart": ("Seq2SeqLM", None),
    "families/bert": ("MaskedLM", None),
    "families/modernbert": ("MaskedLM", "model.final_norm"),
}
ROWS = [1, 4]
WATCH = [5, 100, 300]
TOP_K = 5


def head(model, states):
    """What the model does to the last hidden state."""
    name = model.config.model_type
    if name == "t5":
        scale = model.config.d_model**-0.5 if model.config.scale_decoder_outputs else 1.0
        return model.lm_head(states * scale)
    if name == "bart":
        return model.lm_head(states) + model.final_logits_bias
    if name == "bert":
        return model.cls(states)
    if name == "modernbert":
        return model.decoder(model.head(states))
    logits = model.lm_head(states)
    if cap := getattr(model.config, "final_logit_softcapping", None):
        logits = cap * torch.tanh(logits / cap)
    return logits


def ranks(logits):
    return [int((logits > logits[token]).sum()) + 1 for token in WATCH]


def readings(model, norm, hidden, output):
    """For each depth and row what is compared."""
    found = []
    for depth, states in enumerate(hidden):
        states = states[0, ROWS]
        is_last = depth == len(hidden) - 1
        logits = head(model, states if is_last or norm is None else norm(states))
        raw = head(model, states)
        if is_last:
            assert (logits - output[0, ROWS]).abs().max() < 1e-4
        for row, (said, straight, final) in enumerate(zip(logits, raw, output[0, ROWS], strict=True)):
            p, q = (x.double().softmax(-1).numpy() for x in (said, final))
            top = np.argsort(-p)[:TOP_K]
            found.append({
                "depth": depth, "row": ROWS[row], "top": top.tolist(), "probabilities": p[top].tolist(),
                "ranks": ranks(said), "watched": p[WATCH].tolist(), "raw_ranks": ranks(straight),
                "entropy": float(-(p * np.log(p)).sum()), "divergence": float((q * np.log(q / p)).sum()),
            })
    return found


def main():
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    stored = {}
    for name, (kind, norm) in MODELS.items():
        model = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(FIXTURES / name, dtype=torch.float32).eval()
        norm = model.get_submodule(norm) if norm else None
        texts = json.loads((FIXTURES / f"{name}.json").read_text())["texts"]
        text = texts.get("ascii") or texts["unicode"]
        inputs = {"input_ids": torch.tensor([text["ids"]])}
        if kind == "Seq2SeqLM":
            inputs["decoder_input_ids"] = torch.tensor([text["target"]])
        with torch.no_grad():
            run = model(**inputs, output_hidden_states=True)
            hidden = run.decoder_hidden_states if kind == "Seq2SeqLM" else run.hidden_states
            stored[name] = {
                "ids": text["ids"], "target": text.get("target", []), "watch": WATCH,
                "readings": readings(model, norm, hidden, run.logits),
            }
        print(name, flush=True)
    (FIXTURES / "lens.json").write_text(json.dumps(stored, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
