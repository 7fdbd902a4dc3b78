"""``python -m fly64_assets.cli``."""

from fly64_assets.cli import main

main()
