//go:build qemu

package templates

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/qemu-tests/harness"
)

// TestResized: servers of the templates that follow their node's size do so when its host calls JEM after a resize, while they serve: at
// once, or from their next start on.
func TestResized(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/templates RUN=TestResized` does it")
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	layouts, program := build(t, "php", "postgresql", "mariadb"), buildJEM(t, root)
	t.Run("php", func(t *testing.T) { resizedPHP(t, layouts, program) })
	for _, c := range []struct {
		name, says   string
		ask          []string
		small, large string // what it has in 512 MiB and in 2 GiB
	}{
		{"postgresql", "postgresql: written, counts after a restart (--restart)",
			[]string{"psql", "-U", "postgres", "-Atqc", "show shared_buffers"}, "128MB", "512MB"},
		{"mariadb", "mariadb: written, counts after a restart (--restart)",
			[]string{"mariadb", "-Ne", "select @@innodb_buffer_pool_size div 1048576"}, "256", "1024"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t, layouts, c.name)
			b.putJEM(program)
			b.start()
			b.until("it answers", func() bool { _, err := b.says(c.ask...); return err == nil }, func() string { return "" })
			first := b.must(c.ask...)
			b.resized(512, c.says)
			b.want(first, c.ask...) // its clients notice nothing
			b.stop()
			b.start()
			b.want(c.small, c.ask...)
			b.resized(512, "nothing is to be changed")
			b.resized(2048, c.says)
			b.want(c.small, c.ask...)
			b.stop()
			b.start()
			b.want(c.large, c.ask...)
		})
	}
}

// resizedPHP: as many requests are served at once as there is memory for, from the call on.
func resizedPHP(t *testing.T, layouts, program string) {
	b := newBox(t, layouts, "php")
	b.putJEM(program)
	const gate = "/var/www/app/gate"
	b.put("/var/www/app/index.php", "<?php while (!file_exists('"+gate+"')) { usleep(20000); clearstatcache(); } echo 'passed';", 0o644)
	b.put(gate, "", 0o644)
	b.start()
	b.page("http://127.0.0.1/", 200, "passed")
	for _, c := range []struct{ mib, most int }{{512, 6}, {2048, 24}, {192, 2}} {
		b.resized(int64(c.mib), "php-fpm: told")
		if err := os.Remove(filepath.Join(b.root, gate)); err != nil {
			t.Fatal(err)
		}
		const asked = 8
		b.atOnce(asked, min(asked, c.most), func() { b.put(gate, "", 0o644) })
		b.Logf("FIGURE with %d MiB php-fpm serves %d of %d requests at once", c.mib, min(asked, c.most), asked)
	}
}

// atOnce asks so many requests that end when they are let through, of which so many are served at once.
func (b *box) atOnce(asked, most int, through func()) {
	b.Helper()
	var all sync.WaitGroup
	defer all.Wait()
	defer through()
	workers := ""
	for n := range asked { // one after the other: PHP-FPM starts one worker for those that come in one moment
		all.Go(func() {
			if code, _, body, err := b.get("http://127.0.0.1/"); err != nil || code != 200 || body != "passed" {
				b.Errorf("got %d, %q, %v", code, body, err)
			}
		})
		want := fmt.Sprint(1 + min(n+1, most)) // and the one that has them
		b.until(fmt.Sprintf("%d requests are under way", n+1), func() bool {
			workers, _ = b.says("sh", "-c", "cat /proc/[0-9]*/comm | grep -c ^php-fpm")
			return workers == want
		}, func() string { return fmt.Sprintf("%s processes, want %s", workers, want) })
	}
}

// resized calls JEM as a host does after its node has got so much memory.
func (b *box) resized(mib int64, says string) {
	b.Helper()
	told := jem.Told{Memory: mib << 20, MilliCPU: 2000, DiskLimit: 4 << 30, DiskUsed: 1 << 20}
	cmd := b.command(b.Context(), "0:0", []string{jem.ToldBy + "=" + told.Encode()}, "/usr/lib/jem", "setmem", "apply", "--resized")
	began := time.Now()
	out, err := cmd.Output()
	var r jem.Reply
	if jerr := json.Unmarshal(out, &r); jerr != nil {
		b.Fatalf("setmem: no answer: %v, %v", err, jerr)
	}
	b.Logf("setmem apply --resized with %d MiB, in %s: %s %q", mib, time.Since(began).Round(time.Millisecond), r.Code, r.Message)
	if r.Code != jem.CodeOK || !strings.Contains(r.Message, says) {
		b.Errorf("setmem apply --resized with %d MiB: %s %q %q, want %q", mib, r.Code, r.Message, r.Said, says)
	}
}
