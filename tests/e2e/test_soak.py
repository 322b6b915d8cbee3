"""A minute of the long session, and eight kernels at once. `ECCO_SOAK_MINUTES` makes it longer."""

import os

import pytest

from soak import soak

MINUTES = float(os.environ.get("ECCO_SOAK_MINUTES", "0.7"))


@pytest.mark.parametrize(("n_kernels", "part"), [(1, 1.0), (8, 0.4)], ids=["one kernel", "eight kernels"])
def test_nothing_is_lost_and_nothing_grows(n_kernels, part):
    for figures in soak(MINUTES * part, n_kernels):
        assert not figures.problems, figures.problems
        assert figures.cells > 5 and figures.interrupts > 0
        assert figures.ends["ok"] > 0
