"""``python -m llmtraced`` is the command ``llmtraced``."""

from llmtraced.cli.daemon import main

main()
