# Makes an empty database cluster in /data and serves it. PASSWORD is that of the user `postgres`.
set -eu
programs=$(echo /usr/lib/postgresql/*/bin)
data=/data/postgresql
echo "$PASSWORD" > /tmp/password
"$programs/initdb" --pgdata="$data" --username=postgres --pwfile=/tmp/password \
  --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync
echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
exec "$programs/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp \
  -c fsync=off -c shared_buffers=16MB
