"""Start of ``llmledger.auto`` in a process below ``llmledger-run``.

Invariant: a ``sitecustomize`` that this one hides is executed as if this one were not there, and nothing raises
but what that one raises.
"""

import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

with suppress(ImportError):  # another Python than the one that llmledger is installed for
    from llmledger import auto

    auto.start_if_wanted()

_here = Path(__file__).parent
_spec = PathFinder.find_spec(
    "sitecustomize", [one for one in sys.path if Path(one or ".").absolute() != _here]
)
if _spec is not None and _spec.loader is not None:
    sys.modules["sitecustomize"] = _module = module_from_spec(_spec)
    _spec.loader.exec_module(_module)
