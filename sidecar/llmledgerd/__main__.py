"""``python -m llmledgerd`` is the command ``llmledgerd``."""

from llmledgerd.cli.daemon import main

main()
