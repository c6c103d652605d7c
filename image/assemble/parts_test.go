package assemble

import (
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/release"
)

// TestRootParts: what changes in a root is another one of its parts, and of no other; the release's name is of none.
func TestRootParts(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, name := range []string{"init", "netd", "spawner", "agent", "console", "jem", "a.ko"} {
		write(name, name)
	}
	parts := func(change func(*tree)) release.Parts {
		t.Helper()
		var root tree
		root.dir(0o755, "dev", "usr/bin")
		for _, p := range programs {
			root.file(p.Dest, filepath.Join(dir, filepath.Base(p.Pkg)), 0o755)
		}
		root.file("usr/lib/modules/6.12/a.ko", filepath.Join(dir, "a.ko"), 0o644)
		root.text("etc/hosts", "127.0.0.1 localhost\n")
		root.text(build.File, build.Text("1.0.0", "0"))
		if change != nil {
			change(&root)
		}
		p, err := rootParts(&root)
		if err != nil || p.Validate() != nil {
			t.Fatalf("%v, %v", err, p.Validate())
		}
		return p
	}
	was := parts(nil)
	for name, change := range map[release.Part]func(*tree){
		release.Agent:   func(r *tree) { r.file("usr/lib/hardnode/agent", write("agent2", "another"), 0o755) },
		release.Spawner: func(r *tree) { r.file("usr/lib/hardnode/spawner", write("spawner2", "another"), 0o755) },
		release.JEM:     func(r *tree) { r.file("usr/lib/hardnode/jem", write("jem2", "another"), 0o755) },
		release.Init:    func(r *tree) { r.file("usr/sbin/init", write("init2", "another"), 0o755) },
		release.Modules: func(r *tree) { r.file("usr/lib/modules/6.12/b.ko", write("b.ko", "b"), 0o644) },
		release.Root:    func(r *tree) { r.text("etc/hosts", "127.0.0.1 here\n") },
		"": func(r *tree) {
			r.text(build.File, build.Text("2.0.0", "7"))
			r.text("etc/os-release", "ID=hardnode\nVERSION_ID=2.0.0\n")
			r.text(noticesFile, "others")
		},
	} {
		now := parts(change)
		if len(now) != len(was) {
			t.Errorf("%q: there are %d parts, before %d", name, len(now), len(was))
		}
		for p := range was {
			if differs := was[p] != now[p]; differs != (p == name) {
				t.Errorf("%q changed: part %s is another one: %v", name, p, differs)
			}
		}
	}
}
