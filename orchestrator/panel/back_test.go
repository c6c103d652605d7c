package panel

import "testing"

func TestBack(t *testing.T) {
	for _, same := range []string{"/panel/", "/panel/operations", "/panel/environments/hello", "/panel/operations?state=failed&by=a%20b",
		"/panel/environments/", "/panel/environments/a%2Fb", "/panel/environments/h%C3%A9"} {
		if got := back(same); got != same {
			t.Errorf("%q: got %q, want the same", same, got)
		}
	}
	for _, other := range []string{
		"", "/", "/panel", "panel/", "/panelx/", "/api/v1/hosts", "/openapi.json", "https://evil.test/panel/", "//evil.test/panel/",
		"///evil.test/panel/", `/\evil.test/panel/`, `\\evil.test/panel/`, "/panel//evil.test", `/panel/\evil.test`,
		"/panel/%2f%2fevil.test", "/panel/%2F%2Fevil.test", "/panel/%5cevil.test", "/panel/%5C%5Cevil.test", "javascript:alert(1)",
		"JavaScript:alert(1)//panel/", "data:text/html,x", "/panel/../api/v1/hosts", "/panel/%2e%2e/api", "/panel/./x", "/panel/x/..",
		"/panel/a\r\nSet-Cookie: x=y", "/panel/%0d%0aLocation:%20x", "/panel/\t/evil.test", "/\t/evil.test", " /panel/", "/panel/ x",
		"/panel/\x00", "/panel/%00", "/panel/%ff", "/panel/\u0085x", "http:/panel/", "http:panel/", "//panel/", "/panel/login",
		"/panel/passkey/ask",
		"/panel/login?to=/panel/login", "/panel/logout", "/panel/assets/panel.css", "/panel/%zz", "/panel/x?y=//evil.test",
		"/panel/" + string(make([]byte, 2000)), "user@evil.test/panel/", "//user@evil.test/panel/", "?/panel/", "#/panel/", ":/panel/",
	} {
		if got := back(other); got != front {
			t.Errorf("%q leads to %q, want the first page", other, got)
		}
	}
}
