"""maturin as pip's build backend, with the environment in which torch-sys finds libtorch.

torch-sys asks `python` or `python3` from PATH for torch. Without an activated environment that may be
another Python than the one pip builds with; and what it found is remembered in target/, where the
next isolated build, in a new folder, would look in vain.
"""

import os
import sys
from importlib.util import find_spec

os.environ.pop("VIRTUAL_ENV", None)
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])

torch = find_spec("torch")
if torch is not None:
    libraries = os.path.join(torch.submodule_search_locations[0], "lib")
    os.environ["LIBRARY_PATH"] = os.pathsep.join(filter(None, [libraries, os.environ.get("LIBRARY_PATH")]))

from maturin import *  # noqa: E402, F403
