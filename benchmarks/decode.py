"""Time the decoding of latents to pictures by the paper's decoder: the package's and a plain one, with equal weights.

Usage: python benchmarks/decode.py [--widths 64 16] [--counts 1 16 256] [--rounds 9]
"""

import argparse
from collections.abc import Callable, Iterator

import plain
import torch
from report import duration, section, table
from timing import alternate, has_bfloat16, print_machine
from torch import Tensor

from multimodal_vae import MultimodalVAE

PROSE = """
Color pictures of 64 x 64 from latents of 128 dimensions, by the paper's decoder with the same weights, including the
sigmoid. *bfloat16* is `generate` within `torch.autocast("cpu", torch.bfloat16)`. A single latent takes slightly longer
than with the plain decoder, because the change of memory layout costs more than it saves.
"""


def rivals(width: int, z: Tensor) -> dict[str, Callable[[int], Tensor]]:
    """Return the decoders by name; each decodes the same latents."""
    part = {"name": "image", "size": [64, 64], "network": "residual", "width": width}
    vae = MultimodalVAE({"picture": part}, ["any"], latent_dim=z.shape[1], seed=0).eval()
    decoder = plain.Decoder(3, width, z.shape[1]).eval()
    decoder.load_state_dict(vae.decoders[0].state_dict())

    def plainly(_: int) -> Tensor:
        with torch.no_grad():
            return torch.sigmoid(decoder(z))

    def float32(_: int) -> Tensor:
        return vae.generate(z)["picture"]

    def bfloat16(_: int) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return vae.generate(z)["picture"]

    return {"plain": plainly, "float32": float32} | ({"bfloat16": bfloat16} if has_bfloat16() else {})


def timings(widths: list[int], counts: list[int], rounds: int) -> Iterator[tuple[object, ...]]:
    """Yield one table row per width, number of latents and decoder."""
    for width in widths:
        for count in counts:
            functions = rivals(width, torch.randn(count, 128, generator=torch.Generator().manual_seed(0)))
            expected = functions["plain"](0)
            for name, timing in alternate(functions, rounds).items():
                error = float((functions[name](0) - expected).abs().max())
                yield width, count, name, duration(timing.seconds), timing.speed, f"{error:.0e}" if error else ""


def main() -> None:
    """Print times, speedups and differences of pictures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--widths", type=int, nargs="+", default=[64, 16])
    arguments.add_argument("--counts", type=int, nargs="+", default=[1, 16, 256])
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    print_machine()
    section("Decoding", PROSE)
    head = ("width", "latents per call", "decoder", "time per call", "speedup (quartiles)", "largest difference")
    table(head, timings(given.widths, given.counts, given.rounds))


if __name__ == "__main__":
    main()
