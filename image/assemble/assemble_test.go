package assemble

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

func sample(source string) *tree {
	t := &tree{}
	t.dir(os.ModeSticky|0o777, "tmp")
	t.file("usr/sbin/init", source, 0o755)
	t.text("etc/os-release", "ID=hardnode\n")
	t.link("sbin", "usr/sbin")
	return t
}

func source(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, bytes.Repeat([]byte("hardnode "), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheSameTreeGivesTheSameArchive(t *testing.T) {
	var packed [2][]byte
	for i := range packed { // two trees from two files of other names, times and modes
		raw, err := sample(source(t)).cpio(cpio.CharDev("dev/console", 0o600, 5, 1))
		if err != nil {
			t.Fatal(err)
		}
		if packed[i], err = compress(raw); err != nil {
			t.Fatal(err)
		}
		packed[i] = align(packed[i])
		if len(packed[i])%4 != 0 {
			t.Errorf("archive has %d bytes: the next one would not be found", len(packed[i]))
		}
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Error("two builds of one tree differ")
	}
}

func TestArchiveHoldsTheTree(t *testing.T) {
	raw, err := sample(source(t)).cpio(cpio.CharDev("dev/console", 0o600, 5, 1))
	if err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		if r.MTime != 0 || r.UID != 0 || r.GID != 0 {
			t.Errorf("%s: time %d, owner %d:%d are of the building machine", r.Name, r.MTime, r.UID, r.GID)
		}
		got = append(got, r.Name)
	}
	if want := "etc etc/os-release sbin tmp usr usr/sbin usr/sbin/init dev/console"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, " "), want)
	}
}

func TestTheSameTreeGivesTheSameFilesystem(t *testing.T) {
	if _, err := exec.LookPath("mkfs.erofs"); err != nil {
		t.Skip(err)
	}
	var images [2][]byte
	for i := range images {
		dir := t.TempDir()
		image := filepath.Join(dir, "root.erofs")
		if err := sample(source(t)).erofs(t.Context(), filepath.Join(dir, "stage"), image); err != nil {
			t.Fatal(err)
		}
		var err error
		if images[i], err = os.ReadFile(image); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "stage")); !os.IsNotExist(err) {
			t.Errorf("the staging directory is left: %v", err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two builds of one tree differ")
	}
}

func TestStampSkipsOnlyWhatIsUnchanged(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	s := stamp{file: filepath.Join(dir, "stamp"), inputs: digest("a", "b"), outputs: []string{out}}
	if s.fresh() {
		t.Error("fresh before anything was made")
	}
	if err := s.mark(); err != nil {
		t.Fatal(err)
	}
	if s.fresh() {
		t.Error("fresh although the output is missing")
	}
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !s.fresh() {
		t.Error("not fresh although nothing changed")
	}
	s.inputs = digest("ab")
	if s.fresh() {
		t.Error("fresh although the inputs changed")
	}
}

func TestArgumentsHaveReasons(t *testing.T) {
	for _, a := range arguments {
		if a.reason == "" || len(strings.Fields(a.text)) != 1 || strings.HasPrefix(a.text, "mitigations") {
			t.Errorf("argument %q: no reason, not one word, or less safe than the kernel's own", a.text)
		}
	}
	if got, want := cmdline([]argument{{"panic=10", "x"}, {"quiet", "y"}}), "panic=10 quiet\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBudget(t *testing.T) {
	text, total := sizes(48<<20, 10<<20, []Part{{"a", make([]byte, 1<<20)}, {"b", make([]byte, 2<<20)}}, []Part{{"c", make([]byte, 4<<20)}},
		[]row{{"x", 5 << 20}})
	if total != 13<<20 {
		t.Errorf("host profile is %d bytes, want 13 MiB", total)
	}
	for _, want := range []string{"host profile (budget 48 MiB)", "13.0 MiB", "17.0 MiB", "  x"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if err := within(48<<20, 48<<20); err != nil {
		t.Error(err)
	}
	if err := within(48<<20+1, 48<<20); err == nil {
		t.Error("one byte over the budget passes")
	}
}

func TestBars(t *testing.T) {
	for _, c := range []struct {
		bar  bar
		want string
		over bool
	}{
		{bar{what: "ISO", bytes: 2 << 20, limit: 2 << 20}, "ISO: 2.0 MiB (at most 2)", false},
		{bar{what: "ISO", bytes: 2<<20 + 1, limit: 2 << 20}, "ISO: 2.0 MiB (at most 2)", true},
		{bar{what: "ESP", bytes: 1 << 30, limit: 1 << 30, least: true}, "ESP: 1024.0 MiB (at least 1024)", false},
		{bar{what: "ESP", bytes: 1<<30 - 1, limit: 1 << 30, least: true}, "ESP: 1024.0 MiB (at least 1024)", true},
	} {
		if got := c.bar.String(); got != c.want || (c.bar.check() != nil) != c.over {
			t.Errorf("%+v is %q, %v", c.bar, got, c.bar.check())
		}
	}
}

// TestLoadersMemory: iPXE searches the command line for "mem=" anywhere, and loads nothing above what follows (bzimage.c): the first one
// must leave room for an initramfs.
func TestLoadersMemory(t *testing.T) {
	_, after, found := strings.Cut(cmdline(arguments), "mem=")
	if found && !strings.HasPrefix(after, "3G ") {
		t.Errorf("iPXE takes mem=%.8s… for the end of memory", after)
	}
}
