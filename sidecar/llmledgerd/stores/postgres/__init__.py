"""PostgreSQL as a store: the only package that imports its driver.

Invariant: this package raises StoreBusy, OutcomeUnknown, BatchRejected and ConfigError, never an
exception of the driver; and a batch is stored by one transaction, so
that all of it is there or none.
"""
