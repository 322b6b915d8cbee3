"""Writes tests/fixtures/quantized: weights of few bits, and what the libraries that made the formats read in them.

    python tests/reference/make_quantized.py SOURCES

Besides what README.md names it needs bitsandbytes and compressed-tensors. SOURCES is a folder with the unpacked
packages auto_gptq 0.7.1 and autoawq 0.2.9, whose one module that unpacks is loaded alone: neither installs beside the
torch that the other fixtures are made with.

`cases.safetensors` has single weights: `<case>/m.<part>` as files have them and `<case>/expected`, what the library
says, in its own type. The metadata has each case's `quantization_config`. The folders beside it are whole models, in
each of which every linear layer of the blocks is quantized; `models.json` has what transformers says of the first tokens with the libraries'
numbers, widened before they are multiplied, so that nothing is rounded to half precision.
"""

import importlib.util
import json
import pathlib
import sys

import bitsandbytes
import torch
import transformers
from bitsandbytes import functional as bnb
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from make_fixtures import FIXTURES, VOCAB_SIZE, write_json

OUT = FIXTURES / "quantized"
SOURCES = pathlib.Path(sys.argv[1])


def module(path: str):
    """One file of a package, without the package."""
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, SOURCES / path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


gptq_linear = module("auto_gptq/nn_modules/qlinear/qlinear_cuda.py")
awq_packing = module("autoawq-0.2.9/awq/utils/packing_utils.py")


def words(*shape):
    return torch.randint(-(2**31), 2**31, shape, dtype=torch.int64).to(torch.int32)


def scales(*shape, dtype=torch.float16):
    return (torch.rand(shape) * 0.02 + 0.005).to(dtype)


def bnb_int8(weight):
    quantized, scale, _ = bnb.int8_vectorwise_quant(weight.half())
    parts = {"weight": quantized, "SCB": scale, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    return parts, bnb.int8_vectorwise_dequant(quantized, scale), {"quant_method": "bitsandbytes", "load_in_8bit": True}


def bnb_4bit(weight, quant_type: str, nested: bool, block=64):
    packed, state = bnb.quantize_4bit(weight, blocksize=block, compress_statistics=nested, quant_type=quant_type)
    parts = {"weight": packed} | {f"weight.{name}": part for name, part in state.as_dict(packed=True).items()}
    settings = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": quant_type}
    return parts, bnb.dequantize_4bit(packed, state), settings


def gptq(inputs, outputs, bits, group, act_order=False, version="gptq", wide=False):
    """Any words are integers of a weight. The library's layer adds 1 to zeros, which its second version leaves out."""
    layer = gptq_linear.QuantLinear(bits, group, inputs, outputs, False, weight_dtype=torch.float32)
    layer.autogptq_cuda_available = False
    layer.qweight, layer.qzeros = words(*layer.qweight.shape), words(*layer.qzeros.shape)
    layer.scales = scales(*layer.scales.shape)
    if act_order:
        layer.g_idx = layer.g_idx[torch.randperm(inputs)].contiguous()
    parts = {name: getattr(layer, name).clone() for name in ["qweight", "qzeros", "scales", "g_idx"]}
    layer.scales = layer.scales.float()
    expected = layer(torch.eye(inputs))
    if version == "gptq_v2":
        expected = expected + layer.scales[layer.g_idx.long()]
    expected = expected if wide else expected.half()
    settings = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": act_order, "sym": False}
    settings |= {} if version == "gptq" else {"checkpoint_format": version}
    return parts, expected, settings


def awq(inputs, outputs, group, wide=False):
    groups = inputs // group
    parts = {
        "qweight": words(inputs, outputs // 8), "qzeros": words(groups, outputs // 8), "scales": scales(groups, outputs),
    }
    scale = parts["scales"].float() if wide else parts["scales"]
    expected = awq_packing.dequantize_gemm(parts["qweight"], parts["qzeros"], scale, 4, group)
    settings = {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}
    return parts, expected, settings


def fp8(weight, scale, name="weight_scale_inv", dtype=torch.float8_e4m3fn, method="fp8", block=None):
    """`scale` is a grid; transformers reads it where it divides the weight."""
    parts = {"weight": weight.to(dtype), name: scale}
    settings = {"quant_method": method} | ({"weight_block_size": block} if block else {})
    if block and (weight.shape[0] % block[0] or weight.shape[1] % block[1]):
        # Written out from DeepSeek-V3's weight_dequant, whose last blocks are cut off.
        wide = scale.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
        expected = parts["weight"].float() * wide[: weight.shape[0], : weight.shape[1]]
    else:
        expected = Fp8Dequantize(None)._dequantize_one(parts["weight"], scale, output_dtype=torch.float32)
    return parts, expected, settings


def compressed(weight, form: str, wide=False, **args):
    """With scales from the ranges of the weight, in its own type."""
    args = QuantizationArgs(**args)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    rows, columns = weight.shape
    strategy = args.strategy
    shape = {"tensor": (1,), "channel": (rows, 1), "group": (rows, columns // (args.group_size or 1))}.get(strategy)
    if strategy == "block":
        shape = tuple(-(-size // of) for size, of in zip(weight.shape, args.block_structure, strict=True))
    state = {"weight": weight, "weight_scale": scales(*shape, dtype=weight.dtype) * (4 if args.num_bits < 8 else 1)}
    if not args.symmetric:
        bound = 2 ** (args.num_bits - 1)
        state["weight_zero_point"] = torch.randint(-bound, bound, shape, dtype=torch.int8)
    compressor = BaseCompressor.get_value_from_registry(form)
    parts = compressor.compress(state, scheme)
    read = dict(parts)
    if wide:
        read["weight_scale"] = read["weight_scale"].float()
    expected = compressor.decompress(read, scheme)["weight"]
    group = {"targets": ["Linear"], "weights": json.loads(args.model_dump_json(exclude_none=True))}
    settings = {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group}}
    return parts, expected, settings


def act_order(weight):
    """Groups in the order of activations: column c is of group g_idx[c]. The library that unpacks no longer reads these;
    its formula is 1 scale for each column then."""
    parts, _, settings = compressed(weight, "pack-quantized", type="int", num_bits=4, strategy="group", group_size=16)
    groups = weight.shape[1] // 16
    parts["weight_g_idx"] = (torch.arange(weight.shape[1]) // 16)[torch.randperm(weight.shape[1])].to(torch.int32)
    integers = unpack_from_int32(parts["weight_packed"], 4, weight.shape)
    assert parts["weight_scale"].shape[1] == groups
    return parts, integers * parts["weight_scale"][:, parts["weight_g_idx"].long()], settings


def mxfp4(experts, outputs, blocks):
    parts = {
        "_blocks": torch.randint(0, 256, (experts, outputs, blocks, 16), dtype=torch.uint8),
        "_scales": torch.randint(110, 135, (experts, outputs, blocks), dtype=torch.uint8),
    }
    return parts, convert_moe_packed_tensors(parts["_blocks"], parts["_scales"]), {"quant_method": "mxfp4"}


def cases():
    noise = lambda *shape, dtype=torch.float32: torch.randn(shape).to(dtype)
    half, brain = torch.float16, torch.bfloat16
    packed = dict(form="pack-quantized", type="int")
    return {
        "bnb-int8": bnb_int8(noise(24, 40)),
        "bnb-nf4": bnb_4bit(noise(24, 40, dtype=brain), "nf4", False),
        "bnb-nf4-nested": bnb_4bit(noise(136, 132, dtype=brain), "nf4", True),
        "bnb-fp4": bnb_4bit(noise(9, 33, dtype=half), "fp4", False, block=128),
        "bnb-fp4-nested": bnb_4bit(noise(24, 40), "fp4", True),
        "gptq-2": gptq(64, 32, 2, 32),
        "gptq-3": gptq(64, 64, 3, 32, act_order=True),
        "gptq-4": gptq(96, 32, 4, 32),
        "gptq-4-act-order": gptq(96, 32, 4, 32, act_order=True),
        "gptq-4-whole": gptq(64, 32, 4, -1),
        "gptq-4-v2": gptq(64, 32, 4, 32, version="gptq_v2"),
        "gptq-8": gptq(64, 32, 8, 32, act_order=True),
        "awq": awq(64, 48, 16),
        "fp8-blocks": fp8(noise(48, 64), scales(3, 2, dtype=torch.float32), block=[16, 32]),
        "fp8-cut-blocks": fp8(noise(50, 70), scales(2, 3, dtype=torch.float32), block=[32, 32]),
        "fp8-exponents": fp8(noise(32, 32), torch.randint(118, 130, (2, 1), dtype=torch.uint8), block=[16, 32]),
        "fp8-tensor": fp8(noise(24, 40), scales(dtype=torch.float32).reshape(1, 1), "weight_scale"),
        "fp8-e5m2": fp8(noise(24, 40), scales(1, 1, dtype=torch.float32), "weight_scale", torch.float8_e5m2),
        "fp8-rows": fp8(noise(24, 40), scales(24, 1, dtype=torch.float32), "weight_scale", method="fbgemm_fp8"),
        "compressed-4": compressed(noise(24, 64), num_bits=4, strategy="group", group_size=32, **packed),
        "compressed-4-zeros": compressed(
            noise(20, 64, dtype=brain), num_bits=4, strategy="group", group_size=16, symmetric=False, **packed
        ),
        "compressed-3": compressed(noise(7, 50, dtype=half), num_bits=3, strategy="channel", **packed),
        "compressed-8": compressed(noise(9, 30), num_bits=8, strategy="channel", symmetric=False, **packed),
        "compressed-act-order": act_order(noise(8, 48)),
        "compressed-int": compressed(
            noise(24, 40, dtype=brain), "int-quantized", type="int", num_bits=8, strategy="channel", symmetric=False
        ),
        "compressed-float": compressed(
            noise(24, 40, dtype=brain), "float-quantized", type="float", num_bits=8, strategy="tensor"
        ),
        "compressed-float-blocks": compressed(
            noise(40, 50), "float-quantized", type="float", num_bits=8, strategy="block", block_structure=[16, 32]
        ),
        "compressed-naive": compressed(noise(24, 40), "naive-quantized", type="int", num_bits=8, strategy="group",
                                       group_size=20),
        "mxfp4": mxfp4(2, 5, 3),
    }


def write_cases():
    tensors, settings = {}, {}
    for name, (parts, expected, config) in cases().items():
        joiner = "" if name == "mxfp4" else "."
        stored = {f"{name}/m{joiner}{part}": tensor for part, tensor in parts.items()}
        stored[f"{name}/expected"] = expected
        tensors |= {key: tensor.detach().contiguous().clone() for key, tensor in stored.items()}
        settings[name] = json.dumps(config)
    OUT.mkdir(exist_ok=True)
    save_file(tensors, OUT / "cases.safetensors", metadata=settings)


LLAMA = dict(
    vocab_size=VOCAB_SIZE, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=4, max_position_embeddings=64, bos_token_id=0, eos_token_id=0, tie_word_embeddings=True,
)
GPT2 = dict(
    vocab_size=VOCAB_SIZE, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0,
)
IDS = [5, 40, 301, 7, 77, 200, 33, 19]


def fp8_of(weight):
    grid = scales(weight.shape[0] // 16, weight.shape[1] // 32, dtype=torch.float32)
    wide = grid.repeat_interleave(16, 0).repeat_interleave(32, 1)
    return fp8(weight / wide, grid, block=[16, 32])


# folder: (model, what quantizes a weight [out, in] or makes one of that shape, whether that is [in, out])
MODELS = {
    "bnb-int8": ("llama", bnb_int8, False),
    "bnb-nf4-gpt2": ("gpt2", lambda weight: bnb_4bit(weight, "nf4", True), False),
    "gptq": ("llama", lambda weight: gptq(weight.shape[1], weight.shape[0], 4, 16, act_order=True, wide=True), True),
    "gptq-gpt2": ("gpt2", lambda weight: gptq(weight.shape[1], weight.shape[0], 4, 32, wide=True), True),
    "awq": ("llama", lambda weight: awq(weight.shape[1], weight.shape[0], 16, wide=True), True),
    "fp8": ("llama", fp8_of, False),
    "compressed": ("llama", lambda weight: compressed(
        weight.half(), "pack-quantized", wide=True, type="int", num_bits=4, strategy="group", group_size=16,
        symmetric=False,
    ), False),
}


def write_model(name: str):
    family, quantize, in_out = MODELS[name]
    torch.manual_seed(len(name))
    config = transformers.AutoConfig.for_model(family, **(LLAMA if family == "llama" else GPT2))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    conv1d = transformers.pytorch_utils.Conv1D
    stored, settings = {}, None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
            parameter.copy_(parameter.half())
        for path, layer in model.named_modules():
            is_linear = isinstance(layer, (torch.nn.Linear, conv1d)) and path != "lm_head"
            if not is_linear:
                continue
            is_conv1d = isinstance(layer, conv1d)
            weight = layer.weight.data.T if is_conv1d else layer.weight.data  # [out, in]
            parts, numbers, settings = quantize(weight.contiguous())
            numbers = numbers.T if in_out else numbers
            layer.weight.data = (numbers.T if is_conv1d else numbers).contiguous()
            stored |= {f"{path}.{part}": tensor for part, tensor in parts.items()}
        logits = model(torch.tensor([IDS])).logits[0]
    for key, tensor in model.state_dict().items():
        is_quantized = any(path.startswith(key[: -len(".weight")] + ".") for path in stored) and key.endswith(".weight")
        if key != "lm_head.weight" and not is_quantized:
            stored[key] = tensor.half()
    return write_folder(name, config, stored, settings, logits)


def write_mxfp4():
    """gpt-oss as it is published: its experts in 4 bits, all else as numbers."""
    torch.manual_seed(4)
    config = transformers.AutoConfig.for_model(
        "gpt_oss", vocab_size=VOCAB_SIZE, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, num_local_experts=3, num_experts_per_tok=2, sliding_window=4,
        max_position_embeddings=64, bos_token_id=0, eos_token_id=0, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 150000.0},
    )
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    stored = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.2)
            parameter.copy_(parameter.half())
            if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
                blocks = torch.randint(0, 256, (3, parameter.shape[2], parameter.shape[1] // 32, 16), dtype=torch.uint8)
                powers = torch.randint(122, 126, blocks.shape[:-1], dtype=torch.uint8)
                parameter.copy_(convert_moe_packed_tensors(blocks, powers, dtype=torch.float32))
                stored |= {f"{name}_blocks": blocks, f"{name}_scales": powers}
            elif name != "lm_head.weight":
                stored[name] = parameter.half()
        logits = model(torch.tensor([IDS])).logits[0]
    return write_folder("mxfp4", config, stored, {"quant_method": "mxfp4"}, logits)


def write_folder(name, config, stored, settings, logits):
    folder = OUT / name
    folder.mkdir(exist_ok=True)
    save_file({key: tensor.detach().contiguous().clone() for key, tensor in stored.items()}, folder / "model.safetensors")
    described = config.to_dict() | {"quantization_config": settings, "dtype": "float16"}
    write_json(folder / "config.json", {key: value for key, value in described.items() if value is not None})
    return {"ids": IDS, "last_logits": [round(x, 6) for x in logits[-1, :64].tolist()]}


def main():
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, bitsandbytes {bitsandbytes.__version__}")
    torch.manual_seed(0)
    write_cases()
    write_json(OUT / "models.json", {name: write_model(name) for name in MODELS} | {"mxfp4": write_mxfp4()})


if __name__ == "__main__":
    main()
