#!/usr/bin/env bash
# For the image that stands for apache/kafka: KAFKA_X_Y=z is the property x.y=z, as there.
set -euo pipefail
properties=/tmp/server.properties
while IFS='=' read -r name value; do
  [[ $name == KAFKA_* && $name != KAFKA_HEAP_OPTS ]] || continue
  key=${name#KAFKA_}
  key=${key,,}
  echo "${key//_/.}=$value"
done < <(env) >"$properties"
java -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --ignore-formatted \
  --cluster-id "$CLUSTER_ID" --config "$properties"
# shellcheck disable=SC2086 -- several options
exec java ${KAFKA_HEAP_OPTS:-} -XX:+UseSerialGC -cp '/opt/kafka/libs/*' kafka.Kafka "$properties"
