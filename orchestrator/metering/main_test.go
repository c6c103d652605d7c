package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServing: without a good configuration it says what is wrong; with one it serves, also before it has a certificate, until it is told
// to end, and its database is there the next time.
func TestServing(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "metering.json")
	o := options{config: config, data: dir, listen: "127.0.0.1:0", socket: filepath.Join(dir, "none"), every: time.Minute}
	for want, text := range map[string]string{"read configuration": "", "metering configuration": `{"version":1}`} {
		if text != "" {
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if text == "" {
			os.Remove(config)
		}
		if err := serving(t.Context(), nil, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	good := `{"version":1,"cluster":"cl-0123456789abcdef","caPin":"sha256:` + strings.Repeat("0a", 32) + `","orchestrator":["127.0.0.1:1"]}`
	if err := os.WriteFile(config, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- serving(ctx, nil, o) }()
		cancel()
		if err := <-done; err != nil && !strings.Contains(err.Error(), "context canceled") {
			t.Error(err)
		}
	}
}
