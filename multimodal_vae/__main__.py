"""``python -m multimodal_vae``: the same as ``mmvae``."""

from multimodal_vae.cli import main

if __name__ == "__main__":
    main()
