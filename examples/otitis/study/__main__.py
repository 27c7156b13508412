"""Run one step of the study: ``python examples/otitis/study STEP``; ``--help`` lists the steps."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # of the simulator, and of the figures

from multimodal_vae.cli import run_command
from steps import STEPS


def main() -> int:
    """Run the step that the command line names, and return its exit code."""
    width = max(map(len, STEPS))
    parser = argparse.ArgumentParser(
        prog="study",
        description="The study of the otitis example. Each step says its options with --help.",
        epilog="steps:\n" + "\n".join(f"  {step:{width}}  {what}" for step, what in STEPS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", choices=STEPS, metavar="STEP")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="options of the step")
    given = parser.parse_args()
    return run_command(lambda: import_module(given.step).main(given.options))


if __name__ == "__main__":
    sys.exit(main())
