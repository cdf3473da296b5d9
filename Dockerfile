# The product's two images from this checkout:
#
#     docker build --target worker   -t mapreduce-worker .     coordinator, agent and executor; where users' code runs
#     docker build --target operator -t mapreduce-operator .   the operator
#
# `make image` builds both, with or without Docker, and loads them into the test cluster. BASE is any image with
# Python 3.11 or later, its venv module and pip. A machine that reaches its package index through settings of its own
# gives them as secrets (`pip`: a pip.conf, `ca`: certificates): they are mounted while pip runs and never in a layer.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS python
ENV PATH=/opt/mapreduce/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8

# What the engine needs, and nothing of ours: this layer stays the same until a dependency changes.
FROM python AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml constraints.txt ./
COPY tools/image/requirements.py ./tools/image/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv /opt/mapreduce \
 && python tools/image/requirements.py > requirements.txt \
 && pip install --constraint constraints.txt --requirement requirements.txt

FROM dependencies AS wheel
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python tools/image/requirements.py build-system > build-requirements.txt \
 && pip install --constraint constraints.txt --requirement build-requirements.txt
COPY README.md LICENSE ./
COPY src src
COPY operator operator
COPY worker worker
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
 && pip install --no-deps --no-index --prefix /opt/mapreduce --root /product dist/*.whl

# Only what is added to the worker's packages, so that the two images share their layers.
FROM dependencies AS operator-dependencies
COPY tools/image/added.py ./tools/image/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python tools/image/added.py note /opt/mapreduce > there.txt \
 && python tools/image/requirements.py operator > requirements.txt \
 && pip install --constraint constraints.txt --requirement requirements.txt \
 && python tools/image/added.py copy /opt/mapreduce /added there.txt

FROM python AS user
# Names for the users that pods run as; pods say the numbers themselves. 10002 runs users' code.
RUN printf 'mapreduce:x:10000:\n' >> /etc/group \
 && printf 'mapreduce:x:10001:10000::/tmp:/usr/sbin/nologin\nexecutor:x:10002:10000::/tmp:/usr/sbin/nologin\n' >> /etc/passwd
COPY --from=dependencies /opt/mapreduce /opt/mapreduce

FROM user AS operator
LABEL org.opencontainers.image.title="mapreduce-operator" \
      org.opencontainers.image.description="Runs MapReduceJobs on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=operator-dependencies /added /
COPY --from=wheel /product /
ENV HOME=/tmp
WORKDIR /tmp
USER 10001:10000
CMD ["python", "-m", "mapreduce_operator"]

FROM user AS worker
LABEL org.opencontainers.image.title="mapreduce-worker" \
      org.opencontainers.image.description="Coordinator and workers of MapReduceJobs; users' code runs in it" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=wheel /product /
ENV HOME=/tmp
WORKDIR /tmp
USER 10001:10000
CMD ["mr", "--help"]
