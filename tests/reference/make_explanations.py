"""Writes tests/fixtures/explanations.json: attributions by perturbation and by attention of tiny models of each kind.

    python tests/reference/make_explanations.py

Models are those of make_fixtures.py and make_families.py, in float64. What is explained is the probability of some tokens
(or of a label) as a function of the token embeddings, those of the start token of an encoder–decoder aside; the
baseline is zero. Per model:

- `occlusion`, `window`: captum's FeatureAblation by token, and its Occlusion with windows of two tokens
- `shapley`: captum's ShapleyValues over all permutations; `kernel_shap`: its KernelShap, from 4,000 samples
- `lime`: captum's LimeBase with the kernel and the ridge regression of the `lime` package, each set of tokens once
- `rollout`: Abnar and Zuidema's, in numpy, from transformers' attention
- `value_zeroing`: Mohebbi's, with a hook that zeroes one token's value in one layer, one forward pass for each
- `faithfulness`: ERASER's and time_interpret's figures of the order that `occlusion` gives
"""

import json
from itertools import product

import numpy as np
import torch
import transformers
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import FeatureAblation, KernelShap, LimeBase, Occlusion, ShapleyValues
from transformers.utils.logging import disable_progress_bar

from make_fixtures import FIXTURES

FRACTIONS = [0.2, 0.5]


class Decoder:
    """Tokens of a text from a position on, each by what stands before it."""

    def __init__(self, folder, ids, positions):
        self.model = load(transformers.AutoModelForCausalLM, folder)
        self.ids, self.targets = ids, [(position, ids[position]) for position in positions]
        self.case = {"ids": ids, "targets": self.targets}

    def sources(self, target):
        return self.embed(self.ids[: target[0]])

    def embed(self, ids):
        return self.model.get_input_embeddings()(torch.tensor([ids])).detach()

    def value(self, x, target):
        return self.model(inputs_embeds=x).logits[:, -1].softmax(-1)[:, target[1]]

    def run(self, **more):
        return self.model(torch.tensor([self.ids]), **more)

    def attention(self, run):
        return [], [(layer[0].mean(0).numpy(), None) for layer in run.attentions]

    def row(self, matrix, target):
        return matrix[target[0] - 1, : target[0]]


class Encoder(Decoder):
    """A token behind a position, or a label of a text."""

    def __init__(self, auto, folder, ids, targets, mean=False):
        self.model, self.ids, self.targets, self.mean = load(auto, folder), ids, targets, mean
        self.case = {"ids": ids, "targets": targets}

    def sources(self, target):
        return self.embed(self.ids)

    def value(self, x, target):
        logits = self.model(inputs_embeds=x).logits
        return (logits if target[0] is None else logits[:, target[0]]).softmax(-1)[:, target[1]]

    def row(self, matrix, target):
        return matrix.mean(0) if self.mean else matrix[target[0] or 0]


class Pair(Decoder):
    """Tokens that are written, by what was read and what was written before."""

    def __init__(self, folder, ids, written):
        self.model = load(transformers.AutoModelForSeq2SeqLM, folder)
        self.ids, self.written = ids, written
        self.targets = [(position, written[position]) for position in range(1, len(written))]
        self.case = {"ids": ids, "written": written, "targets": self.targets}

    def sources(self, target):
        return torch.cat([self.embed(self.ids), self.embed(self.written[1 : target[0]])[:, : target[0] - 1]], 1)

    def embed(self, ids):
        return self.model.get_input_embeddings()(torch.tensor([ids], dtype=torch.long)).detach()

    def value(self, x, target):
        start = self.embed(self.written[:1]).expand(len(x), -1, -1)
        written = torch.cat([start, x[:, len(self.ids) :]], 1)
        run = self.model(inputs_embeds=x[:, : len(self.ids)], decoder_inputs_embeds=written)
        return run.logits[:, -1].softmax(-1)[:, target[1]]

    def run(self, **more):
        return self.model(torch.tensor([self.ids]), decoder_input_ids=torch.tensor([self.written]), **more)

    def attention(self, run):
        means = lambda layers: [layer[0].mean(0).numpy() for layer in layers]
        encoder = [(own, None) for own in means(run.encoder_attentions)]
        return encoder, list(zip(means(run.decoder_attentions), means(run.cross_attentions), strict=True))

    def row(self, matrix, target):
        n = len(self.ids)
        return np.delete(matrix[target[0] - 1], n)[: n + target[0] - 1]


def load(auto, folder):
    model = auto.from_pretrained(FIXTURES / folder, attn_implementation="eager", dtype=torch.float64)
    return model.eval()


# By perturbation


def mask_of(x):
    """Each token one feature."""
    return torch.arange(x.shape[1]).reshape(1, -1, 1).expand_as(x).contiguous()


def perturbations(case, target):
    x = case.sources(target)
    value = lambda x: case.value(x, target)
    per_token = lambda attribution: attribution[0, :, 0].tolist()
    rows = {"occlusion": per_token(FeatureAblation(value).attribute(x, feature_mask=mask_of(x)))}
    width = min(2, x.shape[1])
    rows["window"] = per_token(Occlusion(value).attribute(x, sliding_window_shapes=(width, x.shape[2])))
    if 2 < x.shape[1] <= 6:
        rows["shapley"] = per_token(ShapleyValues(value).attribute(x, feature_mask=mask_of(x), perturbations_per_eval=6))
        torch.manual_seed(0)
        rows["kernel_shap"] = per_token(
            KernelShap(value).attribute(x, feature_mask=mask_of(x), n_samples=4000, perturbations_per_eval=50)
        )
    rows["lime"] = lime(value, x)
    return rows


def lime(value, x):
    n = x.shape[1]

    def every_set(x, **_):
        for kept in product([0.0, 1.0], repeat=n):
            yield torch.tensor([kept], dtype=torch.float64)

    def similarity(_, __, kept, **___):
        distance = 100 * (1 - (kept.sum() / n).sqrt())
        return torch.exp(-((distance / 25) ** 2) / 2)

    explainer = LimeBase(
        value, SkLearnRidge(alpha=1.0), similarity, every_set, perturb_interpretable_space=True,
        from_interp_rep_transform=lambda kept, x, **_: x * kept.reshape(1, -1, 1), to_interp_rep_transform=None,
    )
    return explainer.attribute(x, n_samples=2**n).flatten().tolist()


# By attention


def rolled(encoder, own):
    """The product of layers; an encoder's columns first."""
    read = None
    for layer, _ in encoder:
        read = layer if read is None else layer @ read
    n = len(own[0][0])
    product = np.eye(n) if read is None else np.concatenate([np.zeros((n, len(read))), np.eye(n)], 1)
    for layer, across in own:
        product = layer @ product
        if across is not None:
            product[:, : len(read)] += across @ read
    return product


def half(layers):
    mixed = [(0.5 * own + 0.5 * np.eye(len(own)), across) for own, across in layers]
    return [(own, None) if across is None else (0.5 * own, 0.5 * across) for own, across in mixed]


def value_modules(model):
    """By stack and layer: the layer, and the projections to the values of its own positions and of what was read."""
    kind = model.config.model_type
    if kind == "gpt2":
        return [], [(block, block.attn.c_attn, None) for block in model.transformer.h]
    if kind == "llama":
        return [], [(block, block.self_attn.v_proj, None) for block in model.model.layers]
    if kind == "bert":
        return [], [(block, block.attention.self.value, None) for block in model.bert.encoder.layer]
    if kind == "modernbert":
        return [], [(block, block.attn.Wqkv, None) for block in model.model.layers]
    if kind == "t5":
        encoder = [(block, block.layer[0].SelfAttention.v, None) for block in model.encoder.block]
        decoder = [(b, b.layer[0].SelfAttention.v, b.layer[1].EncDecAttention.v) for b in model.decoder.block]
        return encoder, decoder
    encoder = [(block, block.self_attn.v_proj, None) for block in model.model.encoder.layers]
    return encoder, [(b, b.self_attn.v_proj, b.encoder_attn.v_proj) for b in model.model.decoder.layers]


def output_of(case, block, zeroed=None, position=None):
    """What a layer gives when one position of a projection's values is zero in it."""
    seen, handles = [], []

    def record(_, __, output):
        seen.append((output if torch.is_tensor(output) else output[0])[0])

    def zero(_, __, output):
        output = output.clone()
        width = block_width(case.model, output.shape[-1])
        output[:, position, -width:] = 0.0
        return output

    handles.append(block.register_forward_hook(record))
    if zeroed is not None:
        handles.append(zeroed.register_forward_hook(zero))
    case.run(use_cache=False) if not isinstance(case, Encoder) else case.run()
    for handle in handles:
        handle.remove()
    return seen[0]


def block_width(model, width):
    """Values stand behind queries and keys where these are projected together."""
    return width // 3 if model.config.model_type in ("gpt2", "modernbert") else width


def zeroed(case, block, module, n_columns):
    whole = output_of(case, block)
    columns = [1 - torch.cosine_similarity(output_of(case, block, module, j), whole, dim=-1) for j in range(n_columns)]
    return torch.stack(columns, 1).clamp_min(0).numpy()


def value_zeroing(case):
    def layers(modules, n, n_read):
        found = []
        for block, own, across in modules:
            own = zeroed(case, block, own, n)
            across = zeroed(case, block, across, n_read) if across is not None else None
            sums = own.sum(1, keepdims=True) + (0 if across is None else across.sum(1, keepdims=True))
            found.append((own / sums, None if across is None else across / sums))
        return found

    encoder, own = value_modules(case.model)
    n_own = len(case.written) if isinstance(case, Pair) else len(case.ids)
    return rolled(layers(encoder, len(case.ids), 0), layers(own, n_own, len(case.ids)))


# Faithfulness


def faithfulness(case, target, scores):
    x = case.sources(target)
    n = x.shape[1]
    order = np.argsort(-np.abs(np.array(scores)), kind="stable")
    at = lambda kept: case.value(x * torch.tensor(kept, dtype=torch.float64).reshape(1, -1, 1), target).item()
    full, figures = at(np.ones(n)), []
    for fraction in FRACTIONS:
        top = np.zeros(n)
        top[order[: max(1, int(np.floor(fraction * n + 0.5)))]] = 1
        without, only = at(1 - top), at(top)
        figures.append([full - without, full - only, np.log(without) - np.log(full)])
    deletion = [at(np.isin(np.arange(n), order[count:])) for count in range(n + 1)]
    insertion = [at(np.isin(np.arange(n), order[:count])) for count in range(n + 1)]
    comprehensiveness, sufficiency, log_odds = np.mean(figures, 0).tolist()
    return {
        "comprehensiveness": comprehensiveness, "sufficiency": sufficiency, "log_odds": log_odds,
        "deletion": deletion, "insertion": insertion,
    }


def cases():
    texts = {"gpt2-tiny": [55, 290, 12, 301, 77, 8, 140], "families/llama": [40, 271, 300, 9, 120, 366, 81]}
    masked, labelled = transformers.AutoModelForMaskedLM, transformers.AutoModelForSequenceClassification
    yield "gpt2-tiny", Decoder("gpt2-tiny", texts["gpt2-tiny"], [1, 4, 6])
    yield "families/llama", Decoder("families/llama", texts["families/llama"], [2, 5, 6])
    yield "families/bert", Encoder(masked, "families/bert", texts["gpt2-tiny"][:6], [(3, 301), (0, 17)])
    yield "families/modernbert-labels", Encoder(
        labelled, "families/modernbert-labels", texts["families/llama"][:6], [(None, 0), (None, 2)], mean=True
    )
    for name, start in [("t5", 0), ("bart", 2)]:
        yield f"families/{name}", Pair(f"families/{name}", texts["gpt2-tiny"][:4], [start, 30, 260, 99])


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def main():
    torch.set_num_threads(1)
    disable_progress_bar()
    made = {}
    for name, case in cases():
        with torch.no_grad():
            rows = [perturbations(case, target) for target in case.targets]
            run = case.run(output_attentions=True)
            encoder, own = case.attention(run)
            rollout, zeroing = rolled(half(encoder), half(own)), value_zeroing(case)
            for row, target in zip(rows, case.targets, strict=True):
                row["rollout"] = case.row(rollout, target).tolist()
                row["value_zeroing"] = case.row(zeroing, target).tolist()
                row["faithfulness"] = faithfulness(case, target, row["occlusion"])
        made[name] = case.case | {"rows": rows}
        print(name, flush=True)
    lines = json.dumps(rounded(made)).replace("}}, ", "}},\n ")
    (FIXTURES / "explanations.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
