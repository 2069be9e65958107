# Two images of one source:
#   docker build --target train  -t omi-keras-train .    # train, evaluate, export
#   docker build --target device -t omi-keras .          # run bundles: NumPy, SciPy and LiteRT, no TensorFlow
#   docker run --rm -v "$PWD:/data" -w /data omi-keras predict bundle/ patient.hea

FROM python:3.11-slim AS source
WORKDIR /source
COPY pyproject.toml setup.cfg constraints.txt README.md LICENSE ./
COPY omi_keras omi_keras
COPY edge edge

FROM source AS train
RUN python -m pip install --no-cache-dir -c constraints.txt ".[train,formats,sign]" \
    && useradd --create-home --uid 1000 omi
USER 1000
WORKDIR /data
ENTRYPOINT ["omi-keras"]
CMD ["--help"]

FROM source AS device
RUN python -m pip install --no-cache-dir -c constraints.txt ".[formats,sign]" \
    && useradd --create-home --uid 1000 omi
USER 1000
WORKDIR /data
ENTRYPOINT ["omi-keras"]
CMD ["--help"]
