package server

import (
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
)

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
