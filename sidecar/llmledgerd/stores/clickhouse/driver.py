"""ClickHouse's driver, as this package uses it.

Invariant: other modules import this one within functions, so that the driver and its HTTP library (8 MiB, a fifth of a
daemon's start) are loaded with the first connection, in the thread that makes it. The driver then loads neither numpy
nor pandas, and logs nothing.
"""

from __future__ import annotations

import logging
from functools import cache

from clickhouse_connect import get_client
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver import options
from clickhouse_connect.driver.exceptions import ClickHouseError, NotSupportedError
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.insert import InsertContext
from urllib3 import exceptions as transport

from llmledgerd.stores.clickhouse.native_format import wire_type

__all__ = [
    "ClickHouseError",
    "HttpClient",
    "InsertContext",
    "NotSupportedError",
    "column_type",
    "get_client",
    "transport",
]

# Its encoders look for numpy and pandas at their first use, to see whether values are theirs, and load
# them where they are installed: 40 MB and more. None is the driver's own sign that there are none.
options.np = options.pd = options.pd_time_test = None
# The driver logs a warning for every failed request in addition to raising; one report is enough.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)


@cache
def column_type(declared: str) -> ClickHouseType:
    """Return how values of a column are encoded that was declared so."""
    return get_from_name(wire_type(declared))
