"""The upper and the lower half of a handwritten digit as two modalities: train, then ask for a digit.

Run: ``python examples/digits/quickstart.py``; it writes ``digits.png``.
"""

import sys

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import multimodal_vae as mv

digits = load_digits()
pixels = torch.tensor(digits.images / 16)[:, None]
halves = {"upper": pixels[:, :, :4], "lower": pixels[:, :, 4:]}
half = mv.Image(size=(4, 8), channels=1)
data = mv.MultimodalDataset.from_tensors(halves, digits.target, {"upper": half, "lower": half})
vae = mv.MultimodalVAE(data.modalities, data.classes, seed=0)
mv.fit(vae, data)
synthesizer = mv.Synthesizer(vae).fit(data)

figure = Figure(figsize=(10, 10), layout="constrained")
for row, digit in zip(figure.subplots(10, 10), data.classes, strict=True):
    new = synthesizer.sample(digit, 10, seed=0)
    for ax, picture in zip(row, torch.cat([new["upper"], new["lower"]], dim=2), strict=True):
        ax.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
        ax.set_axis_off()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "digits.png")
