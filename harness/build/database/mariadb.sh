# Makes the system tables in /data and serves them. PASSWORD is that of the user `root`.
set -eu
data=/data/mariadb
tables=/usr/share/mysql
set -- --no-defaults --datadir="$data" --socket=/tmp/mariadb.sock --pid-file=/tmp/mariadb.pid \
  --innodb-buffer-pool-size=16M --innodb-log-file-size=8M --innodb-flush-log-at-trx-commit=0
/busybox mkdir -p "$data/mysql"
{
  echo 'use mysql;'
  /busybox cat "$tables/mysql_system_tables.sql" "$tables/mysql_performance_tables.sql" \
    "$tables/mysql_system_tables_data.sql"
  echo "FLUSH PRIVILEGES;
CREATE USER root@'%' IDENTIFIED BY '$PASSWORD';
GRANT ALL ON *.* TO root@'%';"
} | mariadbd "$@" --bootstrap
exec mariadbd "$@" --bind-address='*'
