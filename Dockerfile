# syntax=docker/dockerfile:1
# One image per set of extras: `docker build --build-arg EXTRAS="…" .`, as compose.yaml does it.
# Tags are pinned, Python's but for its patches, which are security's; digests are not, for they could
# not be looked up where this was written.
# See docs/deploy.md.

# The console, built once, on the machine's own platform whatever the image is for.
FROM --platform=$BUILDPLATFORM docker.io/library/node:24.19.0-slim AS console
WORKDIR /build/console
COPY console/package.json console/package-lock.json ./
RUN --mount=type=cache,target=/cache/npm npm ci --no-audit --no-fund --cache /cache/npm
COPY console ./
RUN npm run build

FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

# The environment: what is locked first, for that changes least; then our own code.
FROM docker.io/library/python:3.13-slim-bookworm AS build
COPY --from=uv /uv /usr/local/bin/
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
    UV_CACHE_DIR=/cache/uv UV_PROJECT_ENVIRONMENT=/opt/alcyon
WORKDIR /build
ARG EXTRAS="api avro files kafka postgres redis"
COPY pyproject.toml uv.lock ./
# hadolint ignore=SC2046,SC2086
RUN --mount=type=cache,target=/cache/uv \
    uv sync --locked --no-dev --no-install-project $(printf -- '--extra=%s ' $EXTRAS)
COPY README.md LICENSE hatch_build.py ./
COPY src src
COPY --from=console /build/src/alcyon/api/static src/alcyon/api/static
# hadolint ignore=SC2046,SC2086
RUN --mount=type=cache,target=/cache/uv \
    uv sync --locked --no-dev --no-editable $(printf -- '--extra=%s ' $EXTRAS)

FROM docker.io/library/python:3.13-slim-bookworm AS alcyon
RUN useradd --uid 10001 --no-log-init --create-home --home-dir /var/lib/alcyon alcyon
COPY deploy/docker/first_model.sh /usr/local/bin/first-model
COPY --from=build /opt/alcyon /opt/alcyon
# The cache of compiled features fits one kind of processor, so it is made where it is used.
ENV PATH=/opt/alcyon/bin:$PATH PYTHONUNBUFFERED=1 \
    ALCYON_HOME=/var/lib/alcyon NUMBA_CACHE_DIR=/var/lib/alcyon/compiled
USER 10001
WORKDIR /var/lib/alcyon
VOLUME /var/lib/alcyon
EXPOSE 8080 9464 9465 9466
ENTRYPOINT ["alcyon"]
CMD ["--help"]

# Airflow with the command that its DAGs call; each in an environment of its own.
FROM alcyon AS airflow
USER 0
COPY --from=uv /uv /usr/local/bin/
RUN --mount=type=cache,target=/cache/uv \
    export UV_CACHE_DIR=/cache/uv UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never && \
    uv venv /opt/airflow && \
    uv pip install --python /opt/airflow 'apache-airflow==3.3.2'
ENV PATH=/opt/airflow/bin:$PATH AIRFLOW_HOME=/var/lib/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/dags AIRFLOW__CORE__LOAD_EXAMPLES=false
RUN mkdir /var/lib/airflow && chown 10001:10001 /var/lib/airflow
USER 10001
WORKDIR /var/lib/airflow
VOLUME /var/lib/airflow
ENTRYPOINT ["airflow"]
CMD ["standalone"]

# What is built where no target is named.
FROM alcyon
