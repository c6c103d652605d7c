package server

import (
	"maps"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
)

// TestTold: PostgreSQL is told where its data is only by its environment, in images that set it. Root of a container can't read that of
// another user's process, but its command line.
func TestTold(t *testing.T) {
	for _, process := range []map[string]string{
		{"proc/1/environ": "A=b\x00PGDATA=/data\x00"},
		{"proc/7/comm": "postgres\n", "proc/7/cmdline": "postgres: walwriter \x00", "proc/1/comm": "postgres\n",
			"proc/1/cmdline": "postgres\x00-D\x00/data\x00-c\x00config_file=/etc/postgresql/postgresql.conf\x00"},
	} {
		files := map[string]string{"usr/lib/postgresql/9/bin/postgres": "#!/bin/sh\nexit 3\n",
			"usr/lib/postgresql/15/bin/postgres": "#!/bin/sh\nexit 4\n", "usr/bin/postgres": "#!/bin/sh\necho $PGDATA$A\n"}
		maps.Copy(files, process)
		s, _ := ByName("postgresql")
		said, checked, err := s.Verify(t.Context(), contracttest.Root(t, files), "/etc/postgresql/postgresql.conf")
		if said != "/data\n" || !checked || err != nil {
			t.Errorf("%q: %q %v %v", process, said, checked, err)
		}
	}
}

// TestEnv: HAProxy's configuration may name any variable, and is checked with those that it was begun with.
func TestEnv(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"usr/sbin/haproxy": "#!/bin/sh\necho $UPSTREAM $A$HAPROXY_MWORKER\n",
		"proc/9/comm":    "haproxy\n",
		"proc/9/environ": "A=b\x00UPSTREAM=app:80\x00HAPROXY_MWORKER=1\x00", "proc/1/environ": "UPSTREAM=\x00"})
	s, _ := ByName("haproxy")
	if said, checked, err := s.Verify(t.Context(), root, "/etc/haproxy/haproxy.cfg"); said != "app:80 b\n" || !checked || err != nil {
		t.Errorf("%q %v %v", said, checked, err)
	}
}

// TestCalled: Debian's PHP-FPM has its version in its unit's name; what runs alone is known by its process.
func TestCalled(t *testing.T) {
	for _, c := range []struct {
		server string
		files  map[string]string
		want   string
	}{
		{"php-fpm", map[string]string{"run/systemd/system/": "", "lib/systemd/system/php8.2-fpm.service": "",
			"lib/systemd/system/php7.4-fpm.service": ""}, "php8.2-fpm"},
		{"apache", map[string]string{"run/systemd/system/": "", "usr/lib/systemd/system/httpd.service": ""}, "httpd"},
		{"postgresql", map[string]string{"run/systemd/system/": "", "lib/systemd/system/postgresql@.service": "",
			"lib/systemd/system/postgresql.service": ""}, "postgresql"},
		{"mariadb", map[string]string{"run/systemd/system/": ""}, "mariadb"},
		{"php-fpm", map[string]string{"run/openrc/softlevel": "", "sbin/rc-service": "#!/bin/sh\n", "etc/init.d/php-fpm83": ""},
			"php-fpm83"},
		{"postgresql", map[string]string{"proc/1/comm": "postgres\n"}, "postgres"},
		{"php-fpm", map[string]string{"proc/1/comm": "php-fpm8.2\n"}, "php-fpm"},
		{"apache", map[string]string{"proc/1/comm": "httpd\n"}, "httpd"},
		{"apache", nil, "apache2"},
	} {
		s, _ := ByName(c.server)
		if got := s.Called(contracttest.Root(t, c.files)); got != c.want {
			t.Errorf("%s of %v: got %q, want %q", c.server, c.files, got, c.want)
		}
	}
}
