"""Multi-modal variational autoencoders in which every modality is a plugin.

``__init__.pyi`` lists the public names. Each is imported on first use, so that ``import multimodal_vae`` is fast.
"""

import os
from typing import Any

import lazy_loader

# Threads of OpenMP that wait for work sleep, and leave the core to others. Torch reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_import_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("multimodal-vae")
    return _import_name(name)
