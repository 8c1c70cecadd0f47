# TORCH is cuda (5 GB; for CPU and GPU alike), none (whole networks do not learn), or cpu, from the index in TORCH_INDEX.
#
#     docker build -t streamrnn .
#     docker build -t streamrnn:cpu --build-arg TORCH=none .
#     docker run -v ./streamrnn.yaml:/etc/streamrnn/streamrnn.yaml:ro -p 127.0.0.1:9108:9108 streamrnn

FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/streamrnn
# dependencies first: they stay in the cache when only the source has changed
COPY requirements.lock ./
ARG TORCH=cuda
ARG TORCH_INDEX
# without the packages of torch and their hashes, which are indented below each
RUN case "$TORCH" in \
        cuda) cp requirements.lock chosen.lock ;; \
        cpu | none) awk '/^[^ ]/ {skip = /^(torch|triton|nvidia-|cuda-)/} !skip' requirements.lock > chosen.lock ;; \
        *) echo "TORCH=$TORCH: must be cuda, cpu or none" >&2; exit 1 ;; \
    esac \
    && /opt/streamrnn/bin/pip install --no-cache-dir --require-hashes -r chosen.lock
RUN [ "$TORCH" != cpu ] || /opt/streamrnn/bin/pip install --no-cache-dir \
    --index-url "${TORCH_INDEX:?TORCH=cpu needs TORCH_INDEX, the address of an index with torch for the CPU}" \
    "$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.lock)"
COPY LICENSE README.md pyproject.toml ./
COPY config config
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
# the loops of both variants are compiled for the processor of this machine, so that the first start takes seconds, also
# with a read-only file system; on another processor the first start compiles them again
RUN python -c "from streamrnn import app; from streamrnn.settings import load; \
    [app.warm_up(load(None, ['input.topics=warm-up', *variant])) \
    for variant in ([], ['model.variant=lean', 'model.hidden_size=24'])]" \
    && chown -R streamrnn:streamrnn /var/cache/streamrnn
USER 10001:10001
WORKDIR /var/lib/streamrnn
EXPOSE 9108 8080
STOPSIGNAL SIGTERM
# checks the default port; with another metrics.port, pass --health-cmd to `docker run`
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9108/healthz', timeout=4)"]
ENTRYPOINT ["streamrnn"]
CMD ["run", "-c", "/etc/streamrnn/streamrnn.yaml"]
