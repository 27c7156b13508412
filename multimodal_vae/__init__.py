"""Multi-modal variational autoencoders in which every modality is a plugin.

``__init__.pyi`` lists the public names. Each is imported on first use, so that ``import multimodal_vae`` is fast.
"""

from typing import Any

import lazy_loader

_import_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("multimodal-vae")
    return _import_name(name)
