"""llmledgerd: lands every LLM call that reaches its socket exactly once in ClickHouse."""

__version__ = "0.1.0"
