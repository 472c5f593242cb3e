"""Both commands: ``llmledgerd`` for the daemon, ``llmledger`` for people."""
