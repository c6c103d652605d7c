package probe

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// server says first what it is given, and answers the first bytes that come.
func server(t *testing.T, greets, answers string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, greets)
			if answers != "" {
				if _, err := bufio.NewReader(c).ReadByte(); err == nil {
					io.WriteString(c, answers)
				}
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestGreet(t *testing.T) {
	for name, c := range map[string]struct {
		p                    Protocol
		greets, answers, err string
	}{
		"sshd":           {SSH, "SSH-2.0-x\r\n", "", ""},
		"mariadb":        {MariaDB, "\x4a\x00\x00\x00\x0a11.4", "", ""},
		"mariadb, full":  {MariaDB, "\x17\x00\x00\x00\xff\x10\x04Too many connections", "", ""},
		"postgresql":     {PostgreSQL, "", "N", ""},
		"redis":          {Redis, "", "-NOAUTH Authentication required.\r\n", ""},
		"anything":       {Any, "", "", ""},
		"not mariadb":    {MariaDB, "HTTP/1.1 400", "", "does not speak mariadb"},
		"not postgresql": {PostgreSQL, "", "HTTP/1.1 400", "does not speak postgresql"},
		"says nothing":   {SSH, "", "", "says nothing"},
	} {
		err := Greet(t.Context(), server(t, c.greets, c.answers), c.p)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
	}
	// the port is held on one address, so that nobody takes it on another
	_, port, err := net.SplitHostPort(server(t, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := Greet(t.Context(), net.JoinHostPort("127.0.0.2", port), Any); err == nil {
		t.Error("nobody listens, and no error")
	}
}

func TestHTTP(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() != "/a?b=c" || r.UserAgent() != "jem" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer web.Close()
	for at, want := range map[string]int{web.URL + "/a?b=c": 200, web.URL: 418} {
		if code, err := HTTP(t.Context(), at); code != want || err != nil {
			t.Errorf("%s: %d %v, want %d", at, code, err, want)
		}
	}
	if _, err := HTTP(t.Context(), "http://"+server(t, "SSH-2.0-x\r\n", "")); err == nil {
		t.Error("a server of another protocol, and no error")
	}
}
