#!/bin/sh
# A sample needs no build: busybox serves one page.
echo "Go $(go version | cut -d' ' -f3) on $(hostname)" >/tmp/index.html
busybox httpd -f -p "$PORT" -h /tmp &
trap 'kill $!' TERM
wait $!
