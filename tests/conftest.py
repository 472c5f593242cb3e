"""Settings of all tests: generated examples have no deadline, since time is no property of what is tested."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("load")
