"""ClickHouse: the only package that imports its driver."""
