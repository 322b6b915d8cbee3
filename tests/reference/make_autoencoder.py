"""Writes tests/fixtures/dictionaries/training.safetensors: steps of a top-k autoencoder's training, by torch's autograd and Adam
in float64, the loss written out from Gao et al. 2024 (2406.04093, section 2 and appendix A).

    python tests/reference/make_autoencoder.py

    x               (step, row, number)      what each step reads
    directions      (feature, number)        W_dec at the start
    output_bias     (number)                 b_dec at the start
    W_enc, b_enc, W_dec, b_dec               after all steps
    measures        (step, 4)                loss, share that is unexplained, active features of a row, dead features
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[1] / "fixtures" / "dictionaries" / "training.safetensors"
STEPS, ROWS, WIDTH, FEATURES, K = 24, 8, 6, 16, 2
RATE, DEAD_AFTER, ALPHA = 0.02, 2, 1 / 32
# Whether there are dead features is asked so often.
ASKED_EVERY = 16


def top(z, k):
    values, index = z.topk(k, dim=-1)
    return torch.zeros_like(z).scatter(-1, index, values).relu()


def main():
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    # What is read lies in half of the space, so that some features die.
    x = (torch.randn(STEPS, ROWS, WIDTH) + torch.tensor([2.0, 1.0, 0, 0, 0, 0])).float().double()
    directions = torch.nn.functional.normalize(torch.randn(FEATURES, WIDTH), dim=-1).float().double()
    bias = torch.tensor([0.3, 0.1, 0, 0, -0.2, 0])
    encoder, b_enc = directions.T.clone().requires_grad_(), torch.zeros(FEATURES, requires_grad=True)
    decoder, b_dec = directions.clone().requires_grad_(), bias.clone().requires_grad_()
    parameters = [encoder, b_enc, decoder, b_dec]
    adam = torch.optim.Adam(parameters, lr=RATE, betas=(0.9, 0.999), eps=6.25e-10)
    idle, any_dead, measures = torch.zeros(FEATURES, dtype=torch.long), False, []
    for step, rows in enumerate(x):
        z = (rows - b_dec) @ encoder + b_enc
        code = top(z, K)
        error = rows - (code @ decoder + b_dec)
        varied = (rows - rows.mean(0)).pow(2).sum()
        unexplained = error.pow(2).sum() / varied
        loss = unexplained
        dead = idle >= DEAD_AFTER
        if step % ASKED_EVERY == 0:
            any_dead = bool(dead.any())
        if any_dead:
            alone = top(z.masked_fill(~dead, -torch.inf), WIDTH // 2)
            left = error.detach() - alone @ decoder
            share = min(dead.sum().item() / (WIDTH // 2), 1.0)
            loss = loss + ALPHA * share * left.pow(2).sum() / varied
        adam.zero_grad()
        loss.backward()
        with torch.no_grad():
            decoder.grad -= decoder * (decoder.grad * decoder).sum(-1, keepdim=True)
            adam.step()
            decoder /= decoder.norm(dim=-1, keepdim=True)
            idle = torch.where((code > 0).any(0), 0, idle + 1)
            active = (code > 0).sum() / ROWS
            measures.append(torch.stack([loss, unexplained, active, (idle >= DEAD_AFTER).sum().double()]))
    assert any_dead and measures[-1][0] > measures[-1][1], "the dead take part"
    found = dict(zip(["W_enc", "b_enc", "W_dec", "b_dec"], parameters, strict=True))
    found |= {"x": x, "directions": directions, "output_bias": bias, "measures": torch.stack(measures)}
    save_file({name: value.detach().float().contiguous() for name, value in found.items()}, OUT)


main()
