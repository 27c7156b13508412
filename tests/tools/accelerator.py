"""A made-up accelerator on the CPU, which computes true values and counts how often the CPU would wait for it.

Its tensors have the device "meta", so that whoever asks for a device gets that one. As on a GPU, an operation on
tensors of both devices is an error, and the CPU waits for a value that Python looks at, and for a copy that is not
queued.
"""

import sys
from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

from multimodal_vae import transfer

DEVICE = torch.device("meta")
aten = torch.ops.aten

LOOKS = {
    aten._local_scalar_dense, aten.is_nonzero, aten.item, aten.equal, aten.nonzero, aten.nonzero_numpy,
    aten._unique, aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.masked_select, aten.bincount,
    aten.one_hot, aten.linalg_matrix_exp,
}  # fmt: skip
"""Operations whose result, or its size, the CPU must know."""

INDEXING = {
    aten.index,
    aten.index_put,
    aten.index_put_,
    aten._index_put_impl_,
    aten._unsafe_index,
    aten._unsafe_index_put,
}


class There(torch.Tensor):
    """A tensor of the accelerator; ``held`` are its values."""

    @staticmethod
    def __new__(cls, held):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, layout=held.layout, device=DEVICE
        )

    def __init__(self, held):
        self.held = held

    def __repr__(self):
        return f"There({self.held})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function} outside of the accelerator's block")


class Accelerator(TorchDispatchMode):
    """Within a block, the device "meta" computes. Attribute ``waits``: how often the CPU waited, by operation."""

    def __init__(self):
        super().__init__()
        self.waits = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        there = [x for x in tensors if isinstance(x, There)]
        packet, device = function.overloadpacket, kwargs.get("device")
        if packet in (aten._to_copy, aten.copy_) and tensors:
            return self._copy(function, packet, args, kwargs)
        if not there and (device is None or torch.device(device) != DEVICE):
            return function(*args, **kwargs)
        if packet in LOOKS or (packet in INDEXING and self._hidden(args)):
            self.waits[str(packet)] += 1
        strangers = [x for x in tensors if not isinstance(x, There) and x.dim()]
        if strangers and there:
            if packet not in INDEXING:
                raise RuntimeError(f"{function} got tensors of both devices: {[tuple(x.shape) for x in strangers]}")
            self.waits[f"{packet} by indices of the CPU"] += 1
        if device is not None:
            kwargs["device"] = "cpu"
        held = tree_map(lambda x: x.held if isinstance(x, There) else x, (args, kwargs))
        result = tree_map(lambda x: There(x) if isinstance(x, torch.Tensor) else x, function(*held[0], **held[1]))
        return return_and_correct_aliasing(function, args, kwargs, result) if there else result

    def __exit__(self, *error):
        """End the block, and let the package forget tensors that it keeps per device."""
        super().__exit__(*error)
        for name, module in list(sys.modules.items()):
            for kept in vars(module).values() if name.startswith("multimodal_vae.nn") else ():
                getattr(kept, "cache_clear", lambda: None)()

    @staticmethod
    def _hidden(args):
        """Return whether an index is a mask, of which the CPU must know how often it is true."""
        return any(x is not None and x.dtype == torch.bool for x in args[1])

    def _copy(self, function, packet, args, kwargs):
        """Copy between the devices, or within one."""
        if packet is aten.copy_:
            target, source, *rest = args
            if isinstance(target, There) != isinstance(source, There) and not (rest and rest[0]):
                self.waits["copy_"] += 1
            (target.held if isinstance(target, There) else target).copy_(
                source.held if isinstance(source, There) else source
            )
            return target
        (x,) = args
        onto, queued = kwargs.pop("device", None), kwargs.pop("non_blocking", False)
        onto = x.device if onto is None else torch.device(onto)
        if onto != x.device and not queued:
            self.waits[f"copy to the {'accelerator' if onto == DEVICE else 'CPU'}"] += 1
        copied = function(x.held if isinstance(x, There) else x, **kwargs)
        return There(copied) if onto == DEVICE else copied


def queue_copies(monkeypatch):
    """Let copies to this accelerator be queued, as those to a GPU are."""
    plain = transfer.copy_to

    def copy_to(x, device):
        queued = device == DEVICE and x.device.type == "cpu"
        return x.to(device, non_blocking=True) if queued else plain(x, device)

    for module in list(sys.modules.values()):
        if getattr(module, "copy_to", None) is plain:
            monkeypatch.setattr(module, "copy_to", copy_to)
