"""llmtrace: record every LLM call of an application without the application ever waiting."""

__version__ = "0.1.0"
