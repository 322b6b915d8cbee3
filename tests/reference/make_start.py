"""Writes tests/fixtures/start_token.json: what captum says where the token that a decoder starts with is a source, too.

    python tests/reference/make_start.py

In double precision, of the cases of make_attributions.py's encoder–decoders. `scores` and `signed` are without the start
token's place, which is between what is read and what is written; `start` is its score.
"""

import json

import torch

from make_attributions import FIXTURES, TEXT, Value, attribute


class WithStart(Value):
    def ids(self):
        return [*TEXT, *self.written[: self.position]]

    def embed(self, ids):
        ids = list(ids)
        # What is before the sources in forward, which has none of it here.
        return super().embed(ids) if ids != self.written[:1] else torch.zeros(1, 0, self.model.config.d_model)


def main():
    torch.set_num_threads(1)
    cases = []
    for name in ("families/t5", "families/bart"):
        for method, quantity in (
            ("grad_x_input", "probability"), ("integrated_gradients", "probability"), ("integrated_gradients", "logit"),
        ):
            value = WithStart(name, quantity, False)
            found, _ = attribute(value, method, "zero")
            norms = found.norm(dim=-1)
            scores, signed = (norms / norms.sum()).tolist(), found.sum(-1).tolist()
            n_read = len(TEXT)
            cases.append({
                "model": name, "ids": TEXT, "written": value.written, "position": value.position, "token": value.token,
                "method": method, "quantity": quantity, "start": scores.pop(n_read), "start_signed": signed.pop(n_read),
                "scores": scores, "signed": signed,
            })
    lines = ",\n".join(json.dumps(case) for case in cases)
    (FIXTURES / "start_token.json").write_text("[\n" + lines + "\n]\n")


if __name__ == "__main__":
    main()
