package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/wire/jls"
)

func runMain(m *testing.M) int {
	return testscript.RunMain(m, map[string]func() int{
		"hnctl": func() int { return Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr) },
	})
}

// The stories: one text file a command, against a fake orchestrator. `hnctl` exits with the code the story names by `exit N`.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			cfg := filepath.Join(e.WorkDir, "cfg")
			if err := os.Mkdir(cfg, 0o700); err != nil {
				return err
			}
			stop, err := serve(cfg)
			if err != nil {
				return err
			}
			e.Defer(stop)
			if err := foreign(cfg, filepath.Join(e.WorkDir, "foreign")); err != nil {
				return err
			}
			e.Setenv("HNCTL_CONFIG", cfg)
			e.Setenv("HOME", e.WorkDir)
			store, end := serveStore()
			e.Defer(end)
			e.Setenv("STORE", store)
			e.Setenv("HNCTL_COMPLETION_WAIT", "1m") // how fast it is, TestCompletionDoesNotWait says
			return licences(e.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exit": exitCmd, "spoil": spoilCmd},
	})
}

// foreign is the same server with the pin of another cluster.
func foreign(cfg, dir string) error {
	if err := os.CopyFS(dir, os.DirFS(cfg)); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return err
	}
	i := bytes.Index(raw, []byte("sha256:")) + len("sha256:")
	copy(raw[i:], strings.Repeat("0c", 32))
	return os.WriteFile(filepath.Join(dir, "config.yaml"), raw, 0o600)
}

// spoilCmd writes over the files that a pattern names, one at least.
func spoilCmd(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file is %s", args[0])
	}
	for _, f := range files {
		ts.Check(os.WriteFile(f, []byte("spoiled"), 0o600))
	}
}

// exitCmd runs a command and checks its exit code: exit 3 hnctl env show nosuch
func exitCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		if !strings.HasPrefix(err.Error(), "exit status ") {
			ts.Fatalf("%v", err)
		}
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// licences puts a licence root, licences good and bad, and a JLS's directory into the story's directory.
func licences(dir string) error {
	now := time.Now()
	key := func(seed byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)) }
	public := func(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
	make := func(root ed25519.PrivateKey, from, to time.Time) (string, string, error) {
		cert, err := issue.Certify(root, public(key('s')), now.Add(-1000*time.Hour), now.Add(1000*time.Hour))
		if err != nil {
			return "", "", err
		}
		token, err := issue.Signer{Key: key('s'), Cert: cert}.License(license.License{ID: "lic-0123456789abcdef", Customer: "Demo",
			Hosts: 2, Issued: from, Expires: to})
		return token, cert, err
	}
	good, cert, err := make(key('r'), now.Add(-time.Hour), now.Add(900*time.Hour))
	if err != nil {
		return err
	}
	old, _, err := make(key('r'), now.Add(-900*time.Hour), now.Add(-time.Hour))
	if err != nil {
		return err
	}
	foreign, _, err := make(key('x'), now.Add(-time.Hour), now.Add(900*time.Hour))
	if err != nil {
		return err
	}
	server, err := json.Marshal(jls.Config{Version: 1, Root: public(key('r')), SigningKey: key('s').Seed(), SigningFor: cert,
		TLSKey: key('t').Seed(), AdminToken: "sha256:" + strings.Repeat("0a", 32)})
	if err != nil {
		return err
	}
	pin := "sha256:" + strings.Repeat("0b", 32)
	for name, text := range map[string]string{
		"good.licence": good, "old.licence": old, "foreign.licence": foreign, "forged.licence": good[:60] + "AAAA" + good[64:],
		"jls/jls.json": string(server), "jls/licence-root.pub": hex.EncodeToString(public(key('r'))), "jls/pin": pin,
		"jls/admin-token": "jls1.TOKEN",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}
