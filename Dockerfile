# One process, for CPU and GPU alike: torch as locked brings the CUDA libraries, which are most of the image's several GB.
#
#     docker build -t streamrnn .
#     docker run -v ./streamrnn.yaml:/etc/streamrnn/streamrnn.yaml:ro -p 127.0.0.1:9108:9108 streamrnn

FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/streamrnn
# dependencies first: they stay in the cache when only the source has changed
COPY requirements.lock ./
RUN /opt/streamrnn/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY LICENSE README.md pyproject.toml ./
COPY streamrnn streamrnn
RUN /opt/streamrnn/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
# the user may write compiled code and an embedded log; everything else belongs to root
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/streamrnn streamrnn \
    && install --directory --owner=streamrnn --group=streamrnn /var/lib/streamrnn /var/cache/streamrnn
COPY --from=build /opt/streamrnn /opt/streamrnn
ENV PATH=/opt/streamrnn/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/streamrnn \
    STREAMRNN_METRICS__HOST=0.0.0.0 \
    STREAMRNN_PAGE__HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/streamrnn
EXPOSE 9108 8080
STOPSIGNAL SIGTERM
# checks the default port; with another metrics.port, pass --health-cmd to `docker run`
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9108/healthz', timeout=4)"]
ENTRYPOINT ["streamrnn"]
CMD ["run", "-c", "/etc/streamrnn/streamrnn.yaml"]
