package cli

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestLoginByBrowser: hnctl waits at a port of this machine for what the browser brings, and takes nothing that is not from its own
// sign-in.
func TestLoginByBrowser(t *testing.T) {
	t.Setenv("BROWSER", "true")
	dir := t.TempDir()
	stop, err := serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	run := func(args ...string) (code int, said string) {
		var out strings.Builder
		code = Main(context.Background(), append([]string{"--config", dir}, args...), strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	if code, said := run("cluster", "oidc", "set", "--issuer", "https://login.example.com", "--client-id", "x", "--label", "SSO",
		"--panel", "https://paas.example.com"); code != 0 {
		t.Fatal(said)
	}
	login := func(ticket string, args ...string) (code int, said string) {
		t.Helper()
		pr, pw := io.Pipe()
		done := make(chan int, 1)
		go func() {
			done <- Main(context.Background(), append([]string{"--config", dir, "login", "--oidc"}, args...), strings.NewReader(""), pw, pw)
			pw.Close()
		}()
		lines := bufio.NewReader(pr)
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		at, err := url.Parse(regexp.MustCompile(`https://\S+`).FindString(line))
		if err != nil || at.Host != "paas.example.com" || at.Path != "/panel/oidc/hnctl" || len(at.Query().Get("challenge")) != 43 {
			t.Fatalf("hnctl leads to %q: %v", line, err)
		}
		here := "http://127.0.0.1:" + at.Query().Get("port")
		get := func(path string) (int, string) {
			resp, err := http.Get(here + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			raw, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, string(raw)
		}
		for _, wrong := range []string{"/?ticket=a+ticket", "/?ticket=a+ticket&state=x", "/x?" + at.RawQuery,
			"/?state=" + at.Query().Get("state")} {
			if status, _ := get(wrong); status != http.StatusBadRequest {
				t.Errorf("%s: %d", wrong, status)
			}
		}
		q := url.Values{"ticket": {ticket}, "state": at.Query()["state"]}
		if status, body := get("/?" + q.Encode()); status != http.StatusOK || !strings.Contains(body, "You may close this page") {
			t.Errorf("the ticket: %d %s", status, body)
		}
		rest, _ := io.ReadAll(lines)
		return <-done, string(rest)
	}
	if code, said := login("another"); code != 4 || !strings.Contains(said, "it is not right") {
		t.Errorf("a wrong ticket: %d %s", code, said)
	}
	code, said := login("a ticket")
	if code != 0 || !strings.Contains(said, "signed in to demo as ada@acme.example, owner of account acme") {
		t.Errorf("a right one: %d %s", code, said)
	}
	if code, said := run("logout"); code != 0 {
		t.Errorf("logout: %d %s", code, said)
	}
}
