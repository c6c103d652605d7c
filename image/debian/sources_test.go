package debian

import "testing"

func TestSuites(t *testing.T) {
	targets := `Packages|Debian|main|http://deb.example.org/debian|bookworm
DEP-11|Debian|main|http://deb.example.org/debian|bookworm
Packages|Debian|main|http://deb.example.org/debian|bookworm
Packages|Debian|contrib|http://deb.example.org/debian|bookworm
Packages|Somebody|main|https://deb.example.com/node|nodistro
Packages|Debian|main|http://deb.example.org/debian-security|bookworm-security
nonsense
`
	want := `Types: deb
URIs: http://deb.example.org/debian
Suites: bookworm
Components: main non-free-firmware
Signed-By: /k.gpg

Types: deb
URIs: http://deb.example.org/debian-security
Suites: bookworm-security
Components: main non-free-firmware
Signed-By: /k.gpg
`
	if got := suites(targets, "non-free-firmware", "/k.gpg"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := suites("Packages|Somebody|main|https://deb.example.com/node|nodistro\n", "non-free-firmware", ""); got != "" {
		t.Errorf("of another's archive: %q", got)
	}
}
