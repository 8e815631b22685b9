"""``python -m robustfl`` is the command ``robustfl``."""

from robustfl.cli import main

main()
