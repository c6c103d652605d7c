#!/bin/sh
# Starts PostgreSQL as its own user, and makes the database's folder the first time.
set -e
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA"
	chown -R postgres:postgres "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$0"
fi
[ -s "$PGDATA/PG_VERSION" ] || initdb --auth=trust --no-locale -D "$PGDATA"
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=32MB
