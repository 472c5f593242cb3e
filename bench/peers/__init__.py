"""Programs of others that could stand where the daemon stands, built and run for the benchmark."""
