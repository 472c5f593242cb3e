"""Shared parts of the tests.

``activated``       Socket activation between fork and exec, and two ways for the daemon to hang.
``admin``           Requests to a running daemon's admin socket; the status identity is checked.
``answers``         Results of the reader that are empty except for the fields a test names.
``cache_cases``     Labelled calls for cache misses: healthy runs of five providers, and one planted cause each.
``cache_formats``   Requests and answers of the providers whose caches ``cache_worlds`` plays.
``cache_scenarios`` Healthy runs, and runs with one planted cause each, for ``cache_worlds``.
``cache_worlds``    A provider that plays a prompt cache token by token.
``captured``        A client that keeps its records in a list, without a socket.
``collector``       The OpenTelemetry Collector in its own process.
``columns``         The values that each column may hold.
``config``          Settings of a daemon by their plain names.
``corpus``          The recorded exchanges of ``LLMLEDGER_CORPUS``.
``crashing_files``  An in-memory file system that loses, tears and refuses writes.
``cut_wire``        A TCP wire that is cut after any number of bytes.
``daemon``          A real daemon in its own process.
``engine``          A ClickHouse that can be killed, stopped and faulted.
``engine_server``   The embedded engine behind ClickHouse's HTTP interface.
``eventstreams``    An encoder of Amazon's event stream.
``exchanges``       Small exchanges in the providers' shapes, as record lines.
``fake_daemon``     A daemon that speaks version 4 and misbehaves on demand.
``followed_runs``   The rule by which readers put calls together as runs, over calls in memory.
``grafana``         Grafana's expansion of a query before the server sees it.
``growth``          How the time of a call grows with the size of its input.
``judged_runs``     How well simulated calls are put together as runs.
``kinds``           One interface to each kind of store.
``lines``           A line as the sender receives it.
``long_run``        One agent's run of thousands of calls, made by the engine.
``memory_objects``  In-memory object storage with a clock that is set by hand.
``migrated_databases`` Migrated databases that one test uses after another.
``more_formats``    Wire formats of further providers, for the stand-ins.
``object_server``   A stand-in for S3 over a folder.
``object_storage``  Object storage that can be killed, stopped and faulted.
``operators_sql``   Statements that operators need, and statements that are refused.
``otlp``            OTLP requests as exporters write them, and a connection to send them.
``otlp_sink``       A receiver of OTLP/HTTP traces that is stopped, started again, and told what to answer.
``page``            The real ``llmledger ui`` with a real Chromium.
``pgbouncer``       A pooler before PostgreSQL, in transaction mode.
``places``          One filled store, and each address at which it can be read.
``planted_runs``    Rows of agents' runs, with their conversations and turns.
``postgres``        A PostgreSQL that can be killed and frozen.
``postgres_proxy``  A proxy that cuts a PostgreSQL connection after COMMIT.
``prefork``         The two commands, forked from a process that has imported them.
``promql``          The metrics and labels that a PromQL expression selects.
``providers``       Stand-ins for the providers' HTTP interfaces.
``realtime``        Two hundred sessions over WebSockets, and the records that they are worth.
``relay``           A port whose connections are passed on to another one.
``rollups``         Comparison of the rollup with the rows that it sums.
``scene``           Engine, table, proxy and daemon for delivery tests.
``scrape``          A Prometheus scrape of a running daemon.
``sdks``            Calls through the providers' own SDKs.
``secrets``         Random secrets in the shapes of the named patterns.
``session``         A version 4 session written without the client.
``simulated_apis``  Requests and answers of a made-up agent in the words of each API.
``simulated_habits`` What frameworks rewrite between turns, as kinds of runs.
``simulated_kinds`` Kinds of runs of made-up agents.
``simulated_oddities`` What servers, SDKs and frameworks do to a simulated history.
``simulated_runs``  Made-up agents, with the truth of which call continues which.
``store_rows``      Rows of ``llm_traces`` without records.
``supervised``      A daemon under a stand-in for systemd.
``tool_traffic``    Runs of agents that call tools, in the shapes of several APIs, with the truth about each call.
``traced``          A daemon whose system calls are recorded.
``two_stores``      A daemon that writes to ClickHouse and PostgreSQL.
``under_ddtrace``   An application instrumented by ddtrace.
``unix_connection`` A connection to a Unix socket whose queue is full.
``waiting``         Waiting for a condition, with a limit.
``ways``            One call of a model through each HTTP library.
``wire_proxy``      A proxy between clients and the daemon that can pause and cut.
"""
