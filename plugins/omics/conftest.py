"""Skip the tests of this plugin where it is not installed: `make test-omics` installs it."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("multimodal_vae_omics") else ["*"]
