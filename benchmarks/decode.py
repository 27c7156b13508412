"""Decoding latents to pictures: the paper's decoder, ours and plain, with the same weights.

Usage: python benchmarks/decode.py [--widths 64 16] [--counts 1 16 256] [--rounds 5]
"""

import argparse

import plain
import torch
from timing import alternate, has_bfloat16, print_machine

from multimodal_vae import MultimodalVAE


def main() -> None:
    """Print a line for each width, number of latents and precision."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--widths", type=int, nargs="+", default=[64, 16])
    arguments.add_argument("--counts", type=int, nargs="+", default=[1, 16, 256])
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    print_machine()
    for width in given.widths:
        vae = MultimodalVAE({"picture": {"name": "image", "size": [64, 64], "width": width}}, ["any"], seed=0).eval()
        decoder = plain.Decoder(3, width, 128).eval()
        decoder.load_state_dict(vae.decoders[0].state_dict())
        for count in given.counts:
            z = torch.randn(count, 128, generator=torch.Generator().manual_seed(0))

            def plainly(_: int, decoder: plain.Decoder = decoder, z: torch.Tensor = z) -> torch.Tensor:
                with torch.no_grad():
                    return torch.sigmoid(decoder(z))

            def float32(_: int, vae: MultimodalVAE = vae, z: torch.Tensor = z) -> torch.Tensor:
                return vae.generate(z)["picture"]

            def bfloat16(_: int, vae: MultimodalVAE = vae, z: torch.Tensor = z) -> torch.Tensor:
                with torch.autocast("cpu", torch.bfloat16):
                    return vae.generate(z)["picture"]

            functions = {"plain": plainly, "float32": float32} | ({"bfloat16": bfloat16} if has_bfloat16() else {})
            seconds, ratios = alternate(functions, given.rounds)
            expected = plainly(0)
            for name, function in functions.items():
                off = float((function(0) - expected).abs().max())
                print(
                    f"width {width:2}  {count:3} latents  {name:8}  {1000 * seconds[name]:7.1f} ms  "
                    f"{ratios[name]:4.2f}x  greatest difference {off:.0e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
