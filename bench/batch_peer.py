"""The peer of bench/batch.py: transformers' batched forward pass, padded, with a hook on a layer.

python bench/batch_peer.py MODEL LAYER INPUT OUTPUT
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

model_path, layer, source, target = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model_path)
model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
tokenizer.padding_side = "right"
blocks = getattr(model, "transformer", model.base_model)
blocks = blocks.h if hasattr(blocks, "h") else blocks.layers
held = {}


def hold(module, args, output):
    held["stream"] = output[0] if isinstance(output, tuple) else output


blocks[int(layer) - 1].register_forward_hook(hold)
texts = [json.loads(line)["text"] for line in open(source)]
with open(target, "w") as out, torch.inference_mode():
    for start in range(0, len(texts), 32):
        batch = tokenizer(
            texts[start : start + 32], return_tensors="pt", padding=True, add_special_tokens=False
        )
        ids, mask = batch["input_ids"], batch["attention_mask"]
        logits = model(input_ids=ids, attention_mask=mask).logits
        scores = torch.log_softmax(logits[:, :-1], -1).gather(-1, ids[:, 1:, None])[..., 0]
        sums = (scores * mask[:, 1:]).sum(-1)
        last = mask.sum(-1) - 1
        norms = held["stream"][torch.arange(len(ids)), last].norm(dim=-1)
        for total, norm in zip(sums.tolist(), norms.tolist(), strict=True):
            out.write(json.dumps({"log_probability": total, "norm": norm}) + "\n")
