package main

import (
	"context"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
)

// The OCI distribution-spec's own conformance suite, a Go module: fetched, built and run in a folder of its own, never part of this one.
const (
	suite        = "github.com/opencontainers/distribution-spec/conformance"
	suiteVersion = "v0.0.0-20260831232431-97274622c111" // for version 1.1 of the specification
)

// TestConformance runs the suite against the program. What it is told to leave out: sha512 (refused: content is kept under sha256) and the
// deletion of single blobs (405: they go when no manifest needs them).
func TestConformance(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("a part of make soak: it fetches and builds the OCI distribution-spec's conformance suite (set HARDNODE_SOAK=1)")
	}
	dir := t.TempDir()
	command := func(within time.Duration, name string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		c := exec.CommandContext(ctx, name, args...)
		c.Dir, c.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0", "GOWORK=off")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{{"mod", "init", "conformance"}, {"get", suite + "@" + suiteVersion}, {"build", "-o", "suite", suite}} {
		if out, err := command(15*time.Minute, "go", args...); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	w := newWorld(t)
	w.start()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // as the orchestrator does: without its word nothing is deleted
		defer close(done)
		for {
			w.do(w.as(anOrchestrator), "PUT", host.PathUsed, "{}", "")
			if !run.Wait(ctx, time.Minute) {
				return
			}
		}
	}()
	defer func() { stop(); <-done }()
	w.until("it is known what is in use", func() bool {
		code, _, _ := w.do(w.as(nil), "DELETE", "/v2/none/manifests/1", "", token)
		return code == 404
	})
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.authority.Root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"OCI_REGISTRY": w.addr, "SSL_CERT_FILE": ca, "OCI_USERNAME": "any", "OCI_PASSWORD": token,
		"OCI_VERSION":     "1.1",
		"OCI_DATA_SHA512": "false", "OCI_API_BLOBS_DELETE": "false"} {
		t.Setenv(k, v)
	}
	out, err := command(15*time.Minute, filepath.Join(dir, "suite"))
	if err != nil {
		t.Errorf("%v\n%s", err, failures(out))
	}
	if at := strings.LastIndex(out, "API conformance:"); at >= 0 {
		t.Log(out[at:])
	}
}

// failures are the lines of the suite's output about what failed.
func failures(out string) string {
	var b strings.Builder
	lines, told := strings.Split(out, "\n"), false
	for _, l := range lines {
		if told = strings.HasSuffix(l, ": FAIL") || told && strings.HasPrefix(strings.TrimSpace(l), "- "); told {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}
