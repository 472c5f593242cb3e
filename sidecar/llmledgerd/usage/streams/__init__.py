"""Assembly of streamed answers: the parts that all providers share."""
