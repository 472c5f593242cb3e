"""PostgreSQL as a store: the only package that imports its driver.

Invariant: what leaves this package is what leaves ``llmledgerd.stores.clickhouse`` (StoreBusy, OutcomeUnknown,
BatchRejected, ConfigError), never a driver's exception; and a batch is stored by one transaction, so
that all of it is there or none.
"""
