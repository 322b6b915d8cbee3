"""A tensor of the kernel as a numpy array."""

import numpy


class Array(numpy.ndarray):
    """A numpy array that knows what its axes are: `array.axes` is `("layer", "neuron", "position")`.

    The names are of this array; what is computed or taken of it has none.
    """

    axes = ()


def load(path, axes):
    """The array in an `.npy` file."""
    array = numpy.load(path, allow_pickle=False).view(Array)
    if any(axes):
        array.axes = tuple(axes)
    return array
