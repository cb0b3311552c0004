#!/usr/bin/env bash
# For the image that stands for postgres: makes the cluster, the user and the database at the first
# start, as there.
set -euo pipefail
data=/var/lib/postgresql/data/cluster
bin=$(echo /usr/lib/postgresql/*/bin)
if [ ! -e "$data/PG_VERSION" ]; then
  "$bin/initdb" --pgdata="$data" --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") \
    --auth-host=scram-sha-256 --auth-local=trust >/dev/null
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  "$bin/pg_ctl" --pgdata="$data" --options="-c listen_addresses= -k /tmp" --wait start >/dev/null
  [ "$POSTGRES_DB" = postgres ] ||
    "$bin/createdb" --host=/tmp --username="$POSTGRES_USER" "$POSTGRES_DB"
  "$bin/pg_ctl" --pgdata="$data" --wait stop >/dev/null
fi
exec "$bin/postgres" -D "$data" -c listen_addresses='*' -k /tmp
