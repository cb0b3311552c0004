# syntax=docker/dockerfile:1
# One target a program: docker build --target console .
# An image is Deno without a shell, one bundled file, and the permissions that the program needs.
# What differs in a container from the program's own defaults is said by its variables, not by a CMD:
# so another variable changes it, and arguments add to it.

ARG DENO_VERSION=2.9.6

# Dependencies exactly as deno.lock says; this layer is redone only when they change.
FROM denoland/deno:${DENO_VERSION} AS dependencies
WORKDIR /app
COPY deno.json deno.lock ./
RUN deno install --frozen

FROM dependencies AS bundle
COPY . .
RUN deno task bundle && mkdir /data

FROM denoland/deno:distroless-${DENO_VERSION} AS program
# Numeric, so that an orchestrator can see that it is not root.
USER 65532:65532
WORKDIR /app
# The file system may be read-only: caches go where a tmpfs lies.
ENV DENO_DIR=/tmp/deno DENO_NO_UPDATE_CHECK=1 NO_COLOR=1

FROM program AS console
COPY --from=bundle /app/dist/console.js ./
# Where --store and --token-file may lie.
COPY --from=bundle --chown=65532:65532 /data /data
ENV CONSOLE_HOST=0.0.0.0 \
  CONSOLE_ALLOW_REMOTE_WITHOUT_AUTH=true
EXPOSE 4317 4318 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/bin/deno", "eval", "Deno.exit((await fetch('http://127.0.0.1:8080/readyz')).ok ? 0 : 1)"]
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--allow-net", "--allow-read=/app,/data", "--allow-write=/data", "--allow-env=CONSOLE_*", \
  "console.js"]

FROM program AS orb-server
COPY --from=bundle /app/dist/orb-server.js ./
COPY --from=bundle --chown=65532:65532 /data /data
VOLUME /data
ENV ORB_SERVER_HOST=0.0.0.0 \
  ORB_SERVER_ALLOW_REMOTE_WITHOUT_AUTH=true \
  ORB_SERVER_DATA_DIR=/data
EXPOSE 4242
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/bin/deno", "eval", "Deno.exit((await fetch('http://127.0.0.1:4242/readyz')).ok ? 0 : 1)"]
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--allow-net", "--allow-read=/app,/data", "--allow-write=/data", "--allow-env=OTEL_*,ORB_SERVER_*", \
  "--ignore-env", "orb-server.js"]

# Keys and clients at /data, the devices' public keys too: --device-keys /data/public.jwks.json.
FROM program AS issuer
COPY --from=bundle /app/dist/issuer.js ./
COPY --from=bundle --chown=65532:65532 /data /data
VOLUME /data
ENV ISSUER_HOST=0.0.0.0 \
  ISSUER_ALLOW_REMOTE_WITHOUT_AUTH=true \
  ISSUER_DATA_DIR=/data
EXPOSE 4280
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/bin/deno", "eval", "Deno.exit((await fetch('http://127.0.0.1:4280/readyz')).ok ? 0 : 1)"]
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--allow-net", "--allow-read=/app,/data", "--allow-write=/data", \
  "--allow-env=OTEL_*,ISSUER_*", "--ignore-env", "issuer.js"]

# It serves nothing that could be asked: when it ends, it is unhealthy. Mount images at /data.
FROM program AS orb-client
COPY --from=bundle /app/dist/orb-client.js ./
COPY --from=bundle --chown=65532:65532 /data /data
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--v8-flags=--max-semi-space-size=2,--heap-growing-percent=20", \
  "--allow-net", "--allow-read=/app,/data", "--allow-write=/data", \
  "--allow-sys=cpus,systemMemoryInfo,statfs", "--allow-env=OTEL_*,ORB_CLIENT_*", "orb-client.js"]

# It ends by itself: docker run --volumes-from orb-server orrery/orb-admin queue --data-dir /data.
FROM program AS orb-admin
COPY --from=bundle /app/dist/orb-admin.js ./
COPY --from=bundle --chown=65532:65532 /data /data
VOLUME /data
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--allow-net", "--allow-read=/app,/data", "--allow-write=/data", "--allow-env=ORB_ADMIN_*", \
  "--ignore-env", "orb-admin.js"]

# To observe a runtime, mount its socket, say --endpoint cri=unix:///path, and run it as a user
# that may open the socket.
FROM program AS observer
COPY --from=bundle /app/dist/observer.js ./
ENV OBSERVER_METRICS_ADDRESS=0.0.0.0:33333 \
  OBSERVER_ALLOW_REMOTE_WITHOUT_AUTH=true \
  OBSERVER_INTERVAL=30s
EXPOSE 33333
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/bin/deno", "eval", "Deno.exit((await fetch('http://127.0.0.1:33333/readyz')).ok ? 0 : 1)"]
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--v8-flags=--max-semi-space-size=2,--heap-growing-percent=20", \
  "--allow-net", "--allow-read=/app,/run", "--allow-write=/run", "--allow-env=OTEL_*,OBSERVER_*", \
  "observer.js"]

# It speaks gRPC only: when it ends, it is unhealthy.
FROM program AS image-service
COPY --from=bundle /app/dist/image-service.js ./
ENV IMAGE_SERVICE_HOST=0.0.0.0 \
  IMAGE_SERVICE_ALLOW_REMOTE_WITHOUT_AUTH=true
EXPOSE 15441 15442
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--allow-net", "--allow-env=OTEL_*,IMAGE_SERVICE_*", "image-service.js"]

# The Kafka client lists the whole environment when it loads: what it may not see is absent.
FROM program AS signer-api
COPY --from=bundle /app/dist/signer-api.js ./
COPY --from=bundle --chown=65532:65532 /data /data
VOLUME /data
ENV SIGNER_REST_API_HOST=0.0.0.0 \
  SIGNER_REST_API_ALLOW_REMOTE_WITHOUT_AUTH=true \
  SIGNER_REST_API_DATA_DIR=/data
EXPOSE 8090
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/bin/deno", "eval", "Deno.exit((await fetch('http://127.0.0.1:8090/readyz')).ok ? 0 : 1)"]
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--v8-flags=--max-semi-space-size=16,--heap-growing-percent=60", \
  "--allow-net", "--allow-read=/app,/data,/kafka-password", "--allow-write=/data", \
  "--allow-env=OTEL_*,SIGNER_REST_API_*", "--ignore-env", "signer-api.js"]

FROM program AS signer-service
COPY --from=bundle /app/dist/signer-service.js ./
COPY --from=bundle --chown=65532:65532 /data /data
VOLUME /data
ENV SIGNER_SERVICE_HOST=0.0.0.0 \
  SIGNER_SERVICE_ALLOW_REMOTE_WITHOUT_AUTH=true \
  SIGNER_SERVICE_DATA_DIR=/data
EXPOSE 8091
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/bin/deno", "eval", "Deno.exit((await fetch('http://127.0.0.1:8091/readyz')).ok ? 0 : 1)"]
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--v8-flags=--max-semi-space-size=8,--heap-growing-percent=20", \
  "--allow-net", "--allow-read=/app,/data,/kafka-password", "--allow-write=/data", \
  "--allow-env=OTEL_*,SIGNER_SERVICE_*", "--ignore-env", "signer-service.js"]

# It serves nothing that could be asked: when it ends, it is unhealthy.
FROM program AS signer-load
COPY --from=bundle /app/dist/signer-load.js ./
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--allow-net", "--allow-env=OTEL_*,SIGNER_LOAD_*", "--ignore-env", "signer-load.js"]

# The client is in the server's image too: a probe pings with it.
FROM program AS pingpong-server
COPY --from=bundle /app/dist/pingpong-server.js ./
COPY --from=bundle /app/dist/pingpong-client.js ./
COPY --from=bundle --chown=65532:65532 /data /data
VOLUME /data
ENV PINGPONG_SERVER_HOST=0.0.0.0 \
  PINGPONG_SERVER_ALLOW_REMOTE_WITHOUT_AUTH=true \
  PINGPONG_SERVER_GENERATE_CERTIFICATE=true \
  PINGPONG_SERVER_CERTIFICATE_PATH=/data/cert.pem \
  PINGPONG_SERVER_KEY_PATH=/data/key.pem
EXPOSE 4433/udp 4433 4480
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/bin/deno", "eval", "Deno.exit((await fetch('http://127.0.0.1:4480/readyz')).ok ? 0 : 1)"]
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", "--unstable-net", \
  "--v8-flags=--no-allocation-site-pretenuring", \
  "--allow-net", "--allow-read=/app,/data,/certificate,/token", "--allow-write=/data", "--allow-sys=networkInterfaces", \
  "--allow-env=OTEL_*,PINGPONG_SERVER_*,WS_NO_BUFFER_UTIL,WS_NO_UTF_8_VALIDATE", "pingpong-server.js"]

# It serves nothing that could be asked: when it ends, it is unhealthy.
FROM program AS pingpong-client
COPY --from=bundle /app/dist/pingpong-client.js ./
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", "--unstable-net", \
  "--allow-net", "--allow-read=/app,/data", "--allow-sys=networkInterfaces", \
  "--allow-env=OTEL_*,PINGPONG_CLIENT_*,LANG,LC_ALL,LC_CTYPE,WS_NO_BUFFER_UTIL,WS_NO_UTF_8_VALIDATE", \
  "pingpong-client.js"]

FROM program AS simulator
COPY --from=bundle /app/dist/simulator.js ./
COPY --from=bundle --chown=65532:65532 /data /data
VOLUME /data
ENV SIMPLE_TELEMETRY_HOST=0.0.0.0 \
  SIMULATOR_ALLOW_REMOTE_WITHOUT_AUTH=true \
  SIMPLE_TELEMETRY_WEB_SERVER=true
EXPOSE 1234 9292
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/bin/deno", "eval", "Deno.exit((await fetch('http://127.0.0.1:9292/readyz')).ok ? 0 : 1)"]
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--v8-flags=--max-semi-space-size=4,--heap-growing-percent=20,--optimize-for-size", \
  "--allow-net", "--allow-read=/app,/data", "--allow-write=/data", \
  "--allow-env=OTEL_*,SIMPLE_TELEMETRY_*,SIMULATOR_*", "--ignore-env", "simulator.js"]

# It serves nothing that could be asked: when it ends, it is unhealthy.
FROM program AS simulator-fleet
COPY --from=bundle /app/dist/simulator-fleet.js ./
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--allow-net", "--allow-env=OTEL_*,SIMPLE_TELEMETRY_HOST,SIMPLE_TELEMETRY_PORT,SIMULATOR_FLEET_*", \
  "simulator-fleet.js"]

# It ends by itself.
FROM program AS simulator-example
COPY --from=bundle /app/dist/simulator-example.js ./
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--allow-net", \
  "--allow-env=OTEL_*,SIMPLE_TELEMETRY_HOST,SIMPLE_TELEMETRY_PORT,SIMULATOR_EXAMPLE_*", \
  "simulator-example.js"]

# It ends by itself: docker run orrery/simulate run --seed 7. Records are at /data.
FROM program AS simulate
COPY --from=bundle /app/dist/simulate.js ./
COPY --from=bundle --chown=65532:65532 /data /data
VOLUME /data
ENTRYPOINT ["/bin/deno", "run", "--no-prompt", "--no-remote", "--no-npm", \
  "--v8-flags=--max-semi-space-size=16,--single-threaded-gc,--no-memory-pool,--no-incremental-marking,--heap-growing-percent=30,--no-maglev-destroy-on-background", \
  "--allow-net", "--allow-read=/app,/data", "--allow-write=/data", \
  "--allow-env=OTEL_*,SIMULATE_*", "simulate.js"]
