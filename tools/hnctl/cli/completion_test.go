package cli

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/config"
)

// TestEveryNameIsCompleted: each argument and each flag of each command is completed, is a file, or is known to be free text.
func TestEveryNameIsCompleted(t *testing.T) {
	freeArguments := []string{"NAME", "VERSION", "COMMAND", "ARG", "MODULE", "ACTION", "PORT", "ADDRESS", "PATH", "CHALLENGE",
		"LOCAL:REMOTE", "TAG", "DISK", "MAIL",
		"SNAPSHOT", "BACKUP"}
	freeFlags := []string{"name", "domain", "external", "infra-address", "infra-link", "host-link", "jls", "jls-pin", "trusted-proxy",
		"proxy-protocol",
		"customer", "help", "version", "component-arg", "jls-external", "registry-external", "reason", "image-pin",
		"director-pin", "cluster", "interface", "release", "once", "peer", "port", "note",
		"recipient", "snapshot", "of", "disk", "disk-id", "disk-model", "disk-serial", "wipe", "volume", "rate",
		"title", "contact", "limit", "errors", "server", "ca-pin", "login", "sender", "panel",
		"per-source", "weight", "directory", "mail", "ns", "record", "issuer", "client-id", "label", "trust-mail-of"}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if !c.HasSubCommands() && c.ValidArgsFunction == nil {
			t.Errorf("%s: its arguments are not completed", c.CommandPath())
		}
		for _, w := range argWords(c.Use) {
			w = strings.TrimSuffix(w, "…")
			if _, ok := ofArgument[w]; !ok && !slices.Contains(freeArguments, w) {
				t.Errorf("%s: %s is not completed: name it in ofArgument", c.CommandPath(), w)
			}
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if kind := f.Value.Type(); kind == "bool" || kind == "int" {
				return
			}
			if _, ok := ofFlag[f.Name]; !ok && !slices.Contains(freeFlags, f.Name) {
				t.Errorf("%s: --%s is not completed: name it in ofFlag", c.CommandPath(), f.Name)
			}
		})
	}
	walk(root(&app.App{}))
}

// TestCompletionDoesNotWait: a server that takes connections and says nothing costs no more than the time limit.
func TestCompletionDoesNotWait(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	raw, err := config.Encode(config.Config{Version: 1, Cluster: "cl-0123456789abcdef", Name: "demo",
		Servers: []string{"https://" + l.Addr().String()},
		CAPin:   "sha256:" + strings.Repeat("0b", 32), TokenFile: "token"})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{config.FileName: string(raw), "token": fakeToken} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"env", "start", ""}, {"node", "list", "--host", ""}, {"op", "cancel", ""}} {
		var out bytes.Buffer
		began := time.Now()
		code := Main(t.Context(), append([]string{"__complete", "--config", dir}, args...), nil, &out, io.Discard)
		if took := time.Since(began); code != 0 || took > 10*time.Second || !strings.HasPrefix(out.String(), ":") {
			t.Errorf("%q: code %d, %q after %v; want nothing, soon after %v", args, code, out.String(), took, completeWait)
		}
	}
}
