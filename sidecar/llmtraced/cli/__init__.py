"""Both commands: ``llmtraced`` for the daemon, ``llmtrace`` for people."""
