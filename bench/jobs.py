"""What is timed beside other libraries: jobs of explaining, in the language of either side."""

from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1] / "build/bench-models"
TEXT = "The countries of the European Union are:\\n1. Austria\\n2. Belgium\\n3. Bulgaria\\n4."


@dataclass
class Job:
    """What is timed on either side, after what comes before it and is not; and what each gives, to be compared: a list."""

    name: str
    peer: str
    # The ratio of CPU time on one thread that is aimed at.
    goal: float
    ours: str
    theirs: str
    our_result: str
    their_result: str
    before_ours: str = ""
    before_theirs: str = ""
    # The largest difference between results, of the largest number among them; None: they are the same.
    tolerance: float | None = None
    # Whether a result, one number, may also be better, which is smaller.
    smaller_is_better: bool = False
    # The peer does one part of so many of the job, where the whole takes minutes.
    parts: int = 1
    # Rounds at most.
    rounds: int = 99
    # What no way of doing it can do without: bytes of weights that are read, and operations of products, each a multiplication or an
    # addition. Neither where something else takes the time.
    n_bytes: float = 0
    operations: float = 0

    def limit(self, read, multiply):
        """Seconds on one thread of a machine that reads so many bytes and does so many operations a second."""
        return self.n_bytes / read + self.operations / multiply


# Of distilgpt2's shape: numbers of a layer and of the head, layers, width; of SmolLM2's likewise.
LAYER, HEAD, LAYERS, WIDTH = 12 * 768 * 768, 50_257 * 768, 6, 768
LLAMA_LAYER, LLAMA_HEAD, LLAMA_LAYERS = 576 * (2 * 576 + 2 * 192 + 3 * 1_536), 49_152 * 576, 30
# Tokens of the text.
GIVEN = 23


def forward(n_tokens, n_heads):
    """Operations of a pass, with the head at so many positions; attention's are of causal halves."""
    attention = 2 * LAYERS * 2 * WIDTH * n_tokens**2 / 2
    return 2 * n_tokens * LAYERS * LAYER + attention + 2 * n_heads * HEAD


def backward(given, written):
    """Operations of going back from each written token to those before it: all of the layers but the last, of which keys and values
    are wide alone."""
    total = 0
    for place in range(given, given + written):
        linear = place * ((LAYERS - 1) * LAYER + 2 * WIDTH * WIDTH)
        attention = 3 * (LAYERS - 1) * WIDTH * place**2 / 2
        total += 2 * (linear + attention + HEAD)
    return total


OURS_START = f"""
let lm = ecco::from_pretrained("{MODELS}/distilgpt2", #{{device: "cpu", verbose: false}});
let tiny = ecco::from_pretrained("{MODELS}/tiny", #{{device: "cpu", verbose: false}});
let llama = ecco::from_pretrained("{MODELS}/smollm2", #{{device: "cpu", verbose: false}});
let stored = ecco::from_pretrained("{MODELS}/smollm2-bf16", #{{device: "cpu", verbose: false, dtype: "stored"}});
let text = "{TEXT}";
let long = "";
for time in 0..10 {{ long += text; }}
let longer = "";
for time in 0..39 {{ longer += text; }}
"""
THEIRS_START = f"""
import inseq, json, torch, transformers, warnings
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients
from sklearn.decomposition import NMF
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge
transformers.logging.set_verbosity_error()
warnings.simplefilter("ignore")
def load(name):
    model = transformers.AutoModelForCausalLM.from_pretrained("{MODELS}/" + name, dtype=torch.float32)
    return model.eval().requires_grad_(False)
tokenizer = transformers.AutoTokenizer.from_pretrained("{MODELS}/distilgpt2")
lm, tiny, llama, wide = load("distilgpt2"), load("tiny"), load("smollm2"), load("smollm2-bf16")
def ids_of(text):
    return tokenizer(text, return_tensors="pt").input_ids
text = "{TEXT}"
ids, long_ids, longer_ids = ids_of(text), ids_of(text * 10), ids_of(text * 39)
@torch.no_grad()
def write(model, ids, n):
    return model.generate(ids, max_new_tokens=n, min_new_tokens=n, do_sample=False, pad_token_id=0)[0].tolist()
def explain(method, model, written, start, /, **options):
    # The usual loop: each token from `start` on is explained with the text before it.
    explainer = method(lambda embeddings: model(inputs_embeds=embeddings).logits[:, -1])
    rows = []
    for place in range(start, len(written)):
        before = torch.tensor([written[:place]])
        embeddings = model.get_input_embeddings()(before)
        by_token = method is FeatureAblation
        if by_token:
            options["feature_mask"] = torch.arange(place)[None, :, None]
        values = explainer.attribute(embeddings, target=written[place], **options)
        row = values[0, :, 0] if by_token else values[0].sum(-1)
        rows.append(row.tolist() + [0.0] * (len(written) - 1 - place))
    return rows
# Of a model of its own, likewise below: these libraries put hooks into the modules.
by_inseq = inseq.load_model(load("distilgpt2").requires_grad_(True), "input_x_gradient", tokenizer=tokenizer, device="cpu")
def explain_given(written):
    found = by_inseq.attribute(text, text + written, attributed_fn="logit", show_progress=False, step_scores=[])
    values = found.sequence_attributions[0].target_attributions.sum(-1)
    return [row[:-1] for row in values.T.nan_to_num(0.0).tolist()]
def bridged(name):
    return TransformerBridge.boot_transformers(f"{MODELS}/{{name}}", hf_model=load(name), tokenizer=tokenizer)
bridge, lens_bridge = bridged("smollm2"), bridged("distilgpt2")
patching.tqdm = lambda steps, **_: steps
@torch.no_grad()
def patched(clean, corrupted, patch):
    good, bad = bridge(clean)[0, -1].argmax(), bridge(corrupted)[0, -1].argmax()
    kept = bridge.run_with_cache(clean)[1]
    return patch(bridge, corrupted, kept, lambda logits: logits[0, -1, good] - logits[0, -1, bad]).tolist()
"""


def written(name, peer, goal, model, n, n_bytes, theirs=None):
    theirs = theirs or model
    return Job(
        name,
        peer,
        goal,
        ours=f"let found = {model}.generate(text, #{{generate: {n}}});",
        theirs=f"found = write({theirs}, ids, {n})",
        before_ours=f"{model}.generate(text, #{{generate: 4}});",
        before_theirs=f"write({theirs}, ids, 4)",
        our_result="found.token_ids",
        their_result="found",
        n_bytes=n * n_bytes,
    )


def explained(
    name,
    goal,
    method,
    options,
    n,
    operations,
    texts=("text", "ids"),
    parts=1,
    rounds=99,
    tolerance=2e-4,
    more="",
):
    """Saliency of the last `n` written tokens in units of logits; the peer explains the last of each `parts`."""
    return Job(
        name,
        f"captum's {method}",
        goal,
        parts=parts,
        rounds=rounds,
        tolerance=tolerance,
        before_ours=f"let output = lm.generate({texts[0]}, #{{generate: {n}}});\n"
        f"lm.generate(text, #{{generate: 1}}).saliency(#{{{options}}}).scores;",
        before_theirs=f"written = write(lm, {texts[1]}, {n})\nexplain({method}, lm, written[:6], 5{more})",
        ours=f"let scores = output.saliency(#{{{options}}}).contributions;",
        theirs=f"scores = explain({method}, lm, written, len(written) - {n // parts}{more})",
        our_result=f"scores.to_array().extract(-{n // parts})",
        their_result="scores",
        operations=operations,
    )


def patched(name, site, patch, positions, n_parts):
    # The layers above what is patched: over all of the text, or what stands behind the position.
    layers = LLAMA_LAYERS * (LLAMA_LAYERS + 1) / 2
    operations = 2 * (positions * layers * LLAMA_LAYER + n_parts * LLAMA_LAYERS * LLAMA_HEAD)
    return Job(
        name,
        "TransformerLens' patching",
        5,
        tolerance=1e-3,
        rounds=1,
        before_ours='let clean = "1. Austria\\n2. Belgium\\n3."; let corrupted = "1. Belgium\\n2. Austria\\n3.";\nllama.run(clean).logits;',
        before_theirs='clean, corrupted = ids_of("1. Austria\\n2. Belgium\\n3."), ids_of("1. Belgium\\n2. Austria\\n3.")',
        ours=f'let map = llama.patch_map(clean, corrupted, #{{site: "{site}"}});',
        theirs=f"map = patched(clean, corrupted, patching.{patch})",
        our_result="map.answers.to_array()",
        their_result="map",
        operations=operations,
    )


WRITTEN = " Croatia\\n5. Cyprus\\n6."
SUMS = 'of: "logit", aggregation: "sum"'
JOBS = [
    written("decode 100 tokens", "transformers", 2.0, "lm", 100, 4 * (LAYERS * LAYER + HEAD)),
    written(
        "decode 50 tokens, weights stored as bfloat16",
        "transformers in f32",
        3.5,
        "stored",
        50,
        2 * (LLAMA_LAYERS * LLAMA_LAYER + LLAMA_HEAD),
        theirs="wide",
    ),
    written("decode 800 tokens of a tiny model: overhead", "transformers", 15, "tiny", 800, 0),
    explained(
        "saliency, gradient × input, 23 + 20 tokens",
        8,
        "InputXGradient",
        SUMS,
        20,
        forward(43, 20) + backward(GIVEN, 20),
    ),
    Job(
        "the same, 23 + 21 tokens of a given text",
        "inseq's input_x_gradient",
        10,
        tolerance=2e-4,
        before_ours='lm.attribute(text, " C", #{of: "logit", aggregation: "sum"}).contributions;',
        before_theirs='explain_given(" C")',
        ours=f'let scores = lm.attribute(text, "{WRITTEN}", #{{{SUMS}}}).contributions;',
        theirs=f'scores = explain_given("{WRITTEN}")',
        our_result="scores.to_array()",
        their_result="scores",
        operations=forward(44, 21) + backward(GIVEN, 21),
    ),
    explained(
        "the same, 230 + 20",
        8,
        "InputXGradient",
        SUMS,
        20,
        forward(250, 20) + backward(230, 20),
        ("long", "long_ids"),
        parts=4,
    ),
    explained(
        "the same, 897 + 50",
        6,
        "InputXGradient",
        SUMS,
        50,
        forward(947, 50) + backward(897, 50),
        ("longer", "longer_ids"),
        parts=25,
        rounds=1,
    ),
    explained(
        "integrated gradients, 50 steps, 20 targets",
        8,
        "IntegratedGradients",
        f'method: "ig", n_steps: 50, {SUMS}',
        20,
        50 * (forward(43, 20) + backward(GIVEN, 20)),
        parts=10,
        rounds=1,
        more=', n_steps=50, method="gausslegendre", internal_batch_size=10',
    ),
    explained(
        "occlusion, 20 targets",
        6,
        "FeatureAblation",
        f'method: "occlusion", {SUMS}',
        20,
        # Without each token, what stands behind it.
        sum(forward(43 - place, min(20, 43 - place)) for place in range(43)),
        parts=4,
        rounds=1,
        more=", perturbations_per_eval=16",
    ),
    patched(
        "activation patching, 30 layers × 10 positions",
        "residual_before",
        "get_act_patch_resid_pre",
        sum(range(1, 11)),
        10,
    ),
    patched(
        "activation patching, 30 layers × 9 heads",
        "head_outputs",
        "get_act_patch_attn_head_out_all_pos",
        9 * 10,
        9,
    ),
    Job(
        "lens: ranks, entropy, KL and top 5 by layer, 230 positions",
        "TransformerLens' states and head",
        5,
        before_ours="lm.run(text).lens(#{embedding: false}).ranks;",
        ours="let ranks = lm.run(long).lens(#{embedding: false}).ranks;",
        theirs="""with torch.no_grad():
    states = lens_bridge.run_with_cache(long_ids)[1].accumulated_resid(layer=-1, incl_mid=False)[1:, 0]
    logits = lens_bridge.unembed(lens_bridge.ln_final(states))[:, :-1]
    said = logits.gather(-1, long_ids[0, 1:, None].expand(len(logits), -1, 1))
    ranks = (logits > said).sum(-1) + 1
    logs = logits.log_softmax(-1)
    entropy = -(logs.exp() * logs).sum(-1)
    divergence = (logs[-1].exp() * (logs[-1] - logs)).sum(-1)
    best = logs.topk(5, -1)""",
        our_result="ranks.to_array()",
        their_result="ranks.tolist()",
        # Ranks among 50,257; a few are off by one, where logits are equal but for rounding.
        tolerance=1e-3,
        operations=forward(230, LAYERS * 230),
    ),
    Job(
        "NMF of 42 × 18,432 activations, 10 factors",
        "scikit-learn, same sweeps",
        4,
        before_ours="let output = lm.generate(text, #{generate: 20}); output.activations;",
        before_theirs="""written, kept = write(lm, ids, 20), []
handles = [block.mlp.act.register_forward_hook(lambda module, given, made: kept.append(made[0])) for block in lm.transformer.h]
with torch.no_grad(): lm(torch.tensor([written[:-1]]))
[handle.remove() for handle in handles]
matrix = torch.cat(kept, 1).clamp(min=0).numpy()""",
        ours="let nmf = output.run_nmf(#{n_components: 10, max_iter: 100});",
        theirs='model = NMF(10, init="random", random_state=0, max_iter=100); model.fit_transform(matrix)',
        our_result="[nmf.error]",
        their_result="[float(model.reconstruction_err_)]",
        tolerance=1e-3,
        smaller_is_better=True,
    ),
    Job(
        "load 330 MB, to the first logits",
        "transformers",
        5,
        ours=f'let other = ecco::from_pretrained("{MODELS}/distilgpt2", #{{device: "cpu", verbose: false}}); let said = other.run(text).logits;',
        theirs="other = load('distilgpt2')\nwith torch.no_grad(): said = other(ids).logits[0]",
        our_result="said[said.shape[0] - 1].to_array().extract(0, 1000)",
        their_result="said[-1, :1000].tolist()",
        tolerance=1e-4,
        n_bytes=4 * (LAYERS * LAYER + HEAD),
        operations=forward(GIVEN, GIVEN),
    ),
]

# What is timed beside ourselves alone: name, what is aimed at, what is not timed, and what is.
LOADED = f'ecco::from_pretrained("{MODELS}/distilgpt2", #{{device: "cpu", verbose: false%s}})'
ALONE = [
    (
        "compare_methods of gradient, ig, occlusion and lime, 20 targets",
        "≤ 40 s",
        "let output = lm.generate(text, #{generate: 20});",
        'output.compare_methods(["gradient", "ig", "occlusion", "lime"]).to_json();',
    ),
    ("generate 100 tokens", "", "lm.generate(text, #{generate: 4});", "lm.generate(text, #{generate: 100});"),
    (
        "the same, activations captured",
        "≤ 5 % slower",
        f"let capturing = {LOADED % ', activations: true'}; capturing.generate(text, #{{generate: 4}});",
        "capturing.generate(text, #{generate: 100});",
    ),
]
