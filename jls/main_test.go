package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
)

// TestMain lets the test run this program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("JLS_TEST_MAIN") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

func program(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "JLS_TEST_MAIN=1")
	return cmd
}

// start serves on a free port and returns its address once it says so.
func start(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := program(t, "serve", "--data", dir, "--config", filepath.Join(dir, "keys", "jls.json"), "--listen", "127.0.0.1:0")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	addr := regexp.MustCompile(`msg=serving .*addr=(\S+)`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := addr.FindStringSubmatch(lines.Text()); m != nil {
			go io.Copy(io.Discard, out)
			return cmd, m[1]
		}
	}
	t.Fatal("the server did not start")
	return nil, ""
}

// TestKillAndTerminate: what was answered before a kill -9 holds after it, and SIGTERM ends the program in order.
func TestKillAndTerminate(t *testing.T) {
	dir := t.TempDir()
	pin, err := program(t, "init", "--dir", filepath.Join(dir, "keys")).Output()
	if err != nil {
		t.Fatal(err)
	}
	token, err := program(t, "licence", "issue", "--dir", filepath.Join(dir, "keys"), "--customer", "Demo", "--hosts", "2", "--days",
		"30").Output()
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	id := jls.InstallationID("in-" + license.KeyID(key.Public().(ed25519.PublicKey)))
	client := &http.Client{Timeout: 10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: identity.PinnedTLS(strings.TrimSpace(string(pin))), DisableKeepAlives: true}}
	ask := func(addr, path string, v any) error {
		sealed, err := jls.Seal(path, key, v)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(sealed)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://"+addr+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			var p operator.Problem
			if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
				return fmt.Errorf("%s: %v", resp.Status, err)
			}
			return &p
		}
		return nil
	}
	cmd, addr := start(t, dir)
	if err := ask(addr, jls.PathActivate, jls.Activate{Head: jls.Head{Installation: id, Seq: 1}, Key: key.Public().(ed25519.PublicKey),
		License: strings.TrimSpace(string(token)), Cluster: "cl-0123456789abcdef", Name: "demo"}); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()

	cmd, addr = start(t, dir)
	if err := ask(addr, jls.PathLease, jls.Renew{Head: jls.Head{Installation: id, Seq: 1}}); err == nil ||
		!strings.Contains(err.Error(), "used before") {
		t.Errorf("a request from before the kill was taken again: %v", err)
	}
	if err := ask(addr, jls.PathLease, jls.Renew{Head: jls.Head{Installation: id, Seq: 2}}); err != nil {
		t.Errorf("the activation was lost: %v", err)
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("an orderly stop: %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"serve", "--config", "nosuch.json"}, 1, "nosuch.json"},
		{[]string{"serve", "--nosuch"}, 2, "nosuch"},
		{[]string{"init"}, 2, "required flag"},
		{[]string{"nosuch"}, 2, "unknown command"},
		{[]string{"licence", "issue", "--dir", "nosuch", "--customer", "A", "--hosts", "1"}, 1, "jls init"},
	} {
		out, err := program(t, c.args...).CombinedOutput()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != c.code || !strings.Contains(string(out), c.want) {
			t.Errorf("jls %s: got %v: %s; want code %d naming %q", strings.Join(c.args, " "), err, out, c.code, c.want)
		}
	}
}
