package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/full"
	"hardnode.dev/internal/wire"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/config"
)

// look is every file below dir with its content, but for what fills the disk.
func look(t *testing.T, dir string) map[string]string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range all {
		if raw, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && e.Name() != "ballast" {
			out[e.Name()] = string(raw)
		}
	}
	return out
}

// command runs hnctl.
func command(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	var out, talk bytes.Buffer
	code = Main(t.Context(), args, strings.NewReader(""), &out, &talk)
	return code, talk.String()
}

func writeContexts(t *testing.T, dir string, c ...config.Config) {
	t.Helper()
	for i := range c {
		one := &c[i]
		one.Cluster, one.Servers, one.CAPin, one.TokenFile = "cl-0123456789abcdef", []string{"https://127.0.0.1:1"},
			string(wire.DigestOf([32]byte{1})), one.Name+".token"
		if err := os.WriteFile(filepath.Join(dir, one.TokenFile), []byte("hna1."+one.Name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := config.New(dir)
	f.Current, f.Contexts = c[0].Name, c
	if err := f.Save(); err != nil {
		t.Fatal(err)
	}
}

// TestContextOnFullDisk: a command that can't write says which file and why; all files are as they were, and it works once there is room.
func TestContextOnFullDisk(t *testing.T) {
	for _, room := range []int{0, 1} { // one small file: the token's copy has room, the configuration has not
		dir, other := full.Disk(t, 64), t.TempDir()
		writeContexts(t, dir, config.Config{Name: "demo"}, config.Config{Name: "away"})
		writeContexts(t, other, config.Config{Name: "third"})
		for _, args := range [][]string{{"use", "away"}, {"rename", "away", "far"}, {"add", other}, {"delete", "--yes", "far"}} {
			if room > 0 && args[0] != "add" {
				if code, said := command(t, append([]string{"--config", dir, "context"}, args...)...); code != 0 {
					t.Fatalf("%v with room: exit %d, %s", args, code, said)
				}
				continue
			}
			what := fmt.Sprintf("%v with room for %d files", args, room)
			before := look(t, dir)
			free := full.Fill(t, dir, int64(room)*4)
			code, said := command(t, append([]string{"--config", dir, "context"}, args...)...)
			file := config.FileName
			if room == 0 && args[0] == "add" {
				file = "third-cl-0123456789abcdef.third.token" // the first to be written
			}
			if code != app.ExitFailed || !strings.Contains(said, filepath.Join(dir, file)) ||
				!strings.Contains(said, "no space left on device") || !strings.Contains(said, "next: make room") {
				t.Errorf("%s: exit %d, %s", what, code, said)
			}
			if strings.Contains(said, "/.") {
				t.Errorf("%s: it speaks of a temporary file: %s", what, said)
			}
			if after := look(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%s: the files are %v, they were %v", what, after, before)
			}
			free()
			if code, said := command(t, append([]string{"--config", dir, "context"}, args...)...); code != 0 {
				t.Errorf("%v once there is room: exit %d, %s", args, code, said)
			}
		}
		if code, _ := command(t, "--config", dir, "context", "show", "third"); code != 0 {
			t.Errorf("with room for %d files: context third is not there", room)
		}
	}
}

// TestRegistryLoginOnFullDisk: docker's configuration, and the certificate beside hnctl's, are as they were, and the error names the file.
func TestRegistryLoginOnFullDisk(t *testing.T) {
	hnctl, docker := full.Disk(t, 64), full.Disk(t, 64)
	t.Setenv("DOCKER_CONFIG", docker)
	aRegistry(t, hnctl, "127.0.0.1")
	was := `{"auths":{"ghcr.io":{"auth":"x"}}}`
	if err := os.WriteFile(filepath.Join(docker, "config.json"), []byte(was), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ disk, file string }{{docker, filepath.Join(docker, "config.json")},
		{hnctl, filepath.Join(hnctl, "root-ca.crt")}} {
		before, mine := look(t, docker), look(t, hnctl)
		free := full.Fill(t, c.disk, 0)
		code, said := command(t, "--config", hnctl, "registry", "login")
		if code != app.ExitFailed || !strings.Contains(said, c.file) || !strings.Contains(said, "no space left on device") ||
			!strings.Contains(said, "next: make room") {
			t.Errorf("%s: exit %d, %s", c.file, code, said)
		}
		if after := look(t, docker); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: docker's files are %v, they were %v", c.file, after, before)
		}
		if after := look(t, hnctl); c.disk == hnctl && fmt.Sprint(after) != fmt.Sprint(mine) {
			t.Errorf("%s: hnctl's files are %v, they were %v", c.file, after, mine)
		}
		free()
		if code, said := command(t, "--config", hnctl, "registry", "login"); code != 0 {
			t.Errorf("once there is room: exit %d, %s", code, said)
		}
	}
}
