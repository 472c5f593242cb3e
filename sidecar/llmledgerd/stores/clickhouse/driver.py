"""ClickHouse's driver, as this package uses it.

Invariant: other modules import this one within functions, so that the driver and its HTTP library (8 MiB, a fifth of a
daemon's start) are loaded with the first connection, in the thread that makes it. The driver then loads neither numpy
nor pandas, and logs nothing.
"""

from __future__ import annotations

import logging

from clickhouse_connect import get_client
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver import options
from clickhouse_connect.driver.exceptions import ClickHouseError, NotSupportedError
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.insert import InsertContext
from urllib3 import exceptions as transport

__all__ = [
    "ClickHouseError",
    "HttpClient",
    "InsertContext",
    "NotSupportedError",
    "get_client",
    "get_from_name",
    "transport",
]

# Its encoders look for numpy and pandas at their first use, to see whether values are theirs, and load
# them where they are installed: 40 MB and more. None is the driver's own sign that there are none.
options.np = options.pd = options.pd_time_test = None
# The driver logs a warning for every failed request in addition to raising; one report is enough.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
