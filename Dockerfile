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

# What has to be installed, as files whose content is all that the layers below depend on: most changes of pyproject.toml
# change none of them.
FROM python AS requirements
WORKDIR /build
COPY pyproject.toml constraints.txt ./
COPY tools/image/requirements.py ./
RUN mkdir needed && cp constraints.txt needed/ \
 && for part in product operator build; do python3 requirements.py $part > needed/$part.txt; done \
 && touch --date=@0 needed needed/*

# What the engine needs, and nothing of ours.
FROM python AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_CONSTRAINT=/build/needed/constraints.txt
WORKDIR /build
COPY --from=requirements /build/needed needed
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv /opt/mapreduce \
 && pip install --requirement needed/product.txt

FROM dependencies AS wheel
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    pip install --requirement needed/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY operator operator
COPY worker worker
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
 && pip install --no-deps --no-index --prefix /opt/mapreduce --root /product dist/*.whl

# Only what is added to the worker's packages, so that the two images share their layers.
FROM dependencies AS operator-dependencies
COPY tools/image/added.py ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python added.py note /opt/mapreduce > there.txt \
 && pip install --requirement needed/operator.txt \
 && python added.py copy /opt/mapreduce /added there.txt

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
