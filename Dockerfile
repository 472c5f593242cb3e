# llmledgerd in a container: not root, a read-only root file system, no compiler, no pip.
#
#   docker build -t llmledgerd .
#   docker build -t llmledgerd:embedded --build-arg EMBEDDED=1 .    # with an engine inside, for a laptop
#
# What may be written: /run/llmledgerd (the sockets) and /var/lib/llmledgerd (the spool); the embedded engine
# wants /tmp as well. A registry of your own is named by a pip.conf:
# docker build --secret id=pip.conf,src=pip.conf .

# The version is pinned; so is the content once a digest is added: --build-arg PYTHON=python:…@sha256:…
ARG PYTHON=docker.io/library/python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ARG EMBEDDED=0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# The tools that make our wheels stay in this stage, and so does pip.
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/llmledger
COPY constraints-build.txt constraints-runtime.txt constraints-embedded.txt ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /tools/bin/pip install --quiet --require-hashes -r constraints-build.txt \
    && /tools/bin/pip --python /opt/llmledger/bin/python3 install --quiet --require-hashes \
        -r constraints-runtime.txt $(if [ "$EMBEDDED" = 1 ]; then echo "-r constraints-embedded.txt"; fi)
COPY pyproject.toml build_prices.py README.md LICENSE ./
COPY client client
COPY ddl ddl
COPY deploy deploy
COPY systemd systemd
COPY sidecar sidecar
RUN /tools/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheels ./client . \
    && /tools/bin/pip --python /opt/llmledger/bin/python3 install --quiet --no-deps --no-index /wheels/*.whl

FROM ${PYTHON}
# By number, so that Kubernetes can see that it is not root. deploy/kubernetes names the same.
RUN groupadd --gid 10001 llmledgerd \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/llmledgerd --shell /usr/sbin/nologin llmledgerd \
    && install -d -o 10001 -g 10001 -m 0755 /run/llmledgerd \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/llmledgerd
COPY --from=build /opt/llmledger /opt/llmledger
# pip has compiled everything, and here nothing can be written.
ENV PATH=/opt/llmledger/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/llmledgerd
VOLUME ["/run/llmledgerd", "/var/lib/llmledgerd"]
EXPOSE 9464
# As PID 1 the daemon handles SIGTERM itself and starts no processes, so nobody has to reap for it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["llmledgerd", "health"]
ENTRYPOINT ["llmledgerd"]
CMD ["serve"]
