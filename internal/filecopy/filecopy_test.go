package filecopy

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var when = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// tree makes files of a map: "d/" is a directory, "l>target" a link, anything else a file with the value in it.
func tree(t *testing.T, root string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		link, target, isLink := strings.Cut(name, ">")
		at := filepath.Join(root, link)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		switch {
		case isLink:
			err = errors.Join(err, os.Symlink(target, at))
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.MkdirAll(at, 0o755))
		default:
			err = errors.Join(err, os.WriteFile(at, []byte(text), 0o644), os.Chtimes(at, when, when))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// look is a tree as sorted lines.
func look(t *testing.T, root string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(at string, e fs.DirEntry, err error) error {
		if err != nil || at == root {
			return err
		}
		rel, _ := filepath.Rel(root, at)
		switch {
		case e.IsDir():
			rel += "/"
		case e.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(at)
			if err != nil {
				return err
			}
			rel += ">" + to
		default:
			b, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			rel += "=" + string(b)
		}
		list = append(list, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func copyTree(t *testing.T, from, as, dest string) ([]string, error) {
	t.Helper()
	var complaints []string
	o := Options{Complain: func(s string) { complaints = append(complaints, s) }}
	var b bytes.Buffer
	if _, err := Pack(&b, from, as, o); err != nil {
		t.Fatal(err)
	}
	_, err := Unpack(&b, dest, as, o)
	return complaints, err
}

// TestWhereItGoes: as cp(1) has it.
func TestWhereItGoes(t *testing.T) {
	for _, c := range []struct {
		from, as, dest string
		want           []string // new in the destination
		err            string
	}{
		{"a.txt", "a.txt", "", []string{"a.txt=A"}, ""},
		{"a.txt", "a.txt", "new.txt", []string{"new.txt=A"}, ""},
		{"a.txt", "a.txt", "old", []string{"old=A"}, ""},
		{"a.txt", "a.txt", "current", []string{"dir/target=A"}, ""},
		{"a.txt", "a.txt", "dir/", []string{"dir/a.txt=A"}, ""},
		{"a.txt", "a.txt", "none/", nil, "make it first"},
		{"a.txt", "a.txt", "none/b", nil, "make it first"},
		{"a.txt", "a.txt", "old/", nil, "not a directory"},
		{"a.txt", "a.txt", "dangling", nil, "is a link to something that is not there"},
		{"site", "site", "dir", []string{"dir/site/", "dir/site/index.html=hello", "dir/site/l>../..", "dir/site/sub/"}, ""},
		{"site", "site", "new", []string{"new/", "new/index.html=hello", "new/l>../..", "new/sub/"}, ""},
		{"site", "site", "new/", []string{"new/", "new/index.html=hello", "new/l>../..", "new/sub/"}, ""},
		{"site", Contents, "dir", []string{"dir/index.html=hello", "dir/l>../..", "dir/sub/"}, ""},
		{"site", Contents, "new", []string{"new/", "new/index.html=hello", "new/l>../..", "new/sub/"}, ""},
		{"site", "site", "old", nil, "is a file"},
		{"site", "dir2", "", nil, "write \"" /* dir2 holds a file "sub" */},
	} {
		t.Run(c.from+" to "+c.dest, func(t *testing.T) {
			from := tree(t, t.TempDir(), map[string]string{"a.txt": "A", "site/index.html": "hello", "site/sub/": "", "site/l>../..": ""})
			dest := tree(t, t.TempDir(), map[string]string{"old": "O", "dir/target": "T", "current>dir/target": "", "dangling>gone": "",
				"dir2/sub": "in the way"})
			before := look(t, dest)
			_, err := copyTree(t, filepath.Join(from, c.from), c.as, dest+"/"+c.dest)
			if err != nil != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("got error %v, want %q", err, c.err)
			}
			if err != nil {
				return
			}
			var got []string
			for _, l := range look(t, dest) {
				if !slices.Contains(before, l) {
					got = append(got, l)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// stream is a tar of a hostile side.
func stream(t *testing.T, list ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range list {
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write([]byte("evil"))
		}
	}
	w.Close()
	return b.Bytes()
}

// TestHostileStream: nothing of it lands outside the place that the person named, whatever lies there already.
func TestHostileStream(t *testing.T) {
	dir := func(n string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: n, Mode: 0o755} }
	file := func(n string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: n} }
	sym := func(n, to string) tar.Header { return tar.Header{Typeflag: tar.TypeSymlink, Name: n, Linkname: to} }
	hard := func(n, to string) tar.Header { return tar.Header{Typeflag: tar.TypeLink, Name: n, Linkname: to} }
	for _, c := range []struct {
		name string
		list []tar.Header
		err  string // "" when it is done, without harm
	}{
		{"dot dot", []tar.Header{dir("site/"), file("../victim")}, "leads elsewhere"},
		{"dot dot inside", []tar.Header{dir("site/"), file("site/../../victim")}, "leads elsewhere"},
		{"absolute", []tar.Header{dir("site/"), file("/tmp/victim")}, "leads elsewhere"},
		{"sibling", []tar.Header{dir("site/"), file("victim")}, `not of "site"`},
		{"prefix", []tar.Header{dir("site/"), file("site2/x")}, `not of "site"`},
		{"another top", []tar.Header{file("site/x")}, "begins with"},
		{"parent", []tar.Header{dir("..")}, "leads elsewhere"},
		{"through a link of its own", []tar.Header{dir("site/"), sym("site/l", "../.."), file("site/l/victim")}, ""},
		{"over a link of its own", []tar.Header{dir("site/"), sym("site/l", "../../victim"), file("site/l")}, ""},
		{"top is a link", []tar.Header{sym("site", ".."), file("site/victim")}, ""},
		{"through a link that lies there", []tar.Header{dir("site/"), file("site/out/victim")}, "escapes"},
		{"over a link that lies there", []tar.Header{dir("site/"), file("site/leaf")}, ""},
		{"a hard link out", []tar.Header{dir("site/"), hard("site/h", "../victim"), file("site/h")}, "leads elsewhere"},
		{"a hard link to what lies there", []tar.Header{dir("site/"), hard("site/h", "site/mine")}, "no file of the stream"},
		{"a hard link to a link", []tar.Header{dir("site/"), sym("site/s", "../../victim"), hard("site/h", "site/s")},
			"no file of the stream"},
		{"a device", []tar.Header{dir("site/"), {Typeflag: tar.TypeChar, Name: "site/null", Devmajor: 1, Devminor: 3}}, ""},
		{"a pipe", []tar.Header{dir("site/"), {Typeflag: tar.TypeFifo, Name: "site/p"}}, ""},
		{"set-uid", []tar.Header{dir("site/"), {Typeflag: tar.TypeReg, Name: "site/su", Mode: 0o4755}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			outer := tree(t, t.TempDir(), map[string]string{"victim": "fine", "there/site/mine": "mine", "there/site/out>../..": "",
				"there/site/leaf>../../victim": ""})
			complaints := 0
			_, err := Unpack(bytes.NewReader(stream(t, c.list...)), filepath.Join(outer, "there"), "site",
				Options{Complain: func(string) { complaints++ }})
			if err != nil != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got error %v, want %q", err, c.err)
			}
			for _, l := range look(t, outer) {
				name, text, _ := strings.Cut(l, "=")
				if text == "evil" && !strings.HasPrefix(name, "there/site/") || strings.Contains(name, ".hardnode-cp-") ||
					name == "victim" && text != "fine" || name == "there/site/mine" && text != "mine" {
					t.Errorf("there is %q", l)
				}
			}
			filepath.WalkDir(outer, func(at string, e fs.DirEntry, err error) error {
				if st, err := os.Lstat(at); err != nil || st.Mode()&(fs.ModeSetuid|fs.ModeDevice|fs.ModeNamedPipe) != 0 {
					t.Errorf("%s is %v, %v", at, st.Mode(), err)
				}
				return nil
			})
		})
	}
}

// TestWhole: what is cut off, or finds no room, leaves the file that was there.
func TestWhole(t *testing.T) {
	from := filepath.Join(t.TempDir(), "big")
	data := make([]byte, 200<<10)
	rand.Read(data)
	if err := os.WriteFile(from, data, 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := Pack(&b, from, "big", Options{}); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]io.Reader{
		"cut off": bytes.NewReader(b.Bytes()[:100<<10]),
		"broken":  io.MultiReader(bytes.NewReader(b.Bytes()[:100<<10]), faultyReader{}),
		"nothing": bytes.NewReader(nil),
		"no tar":  strings.NewReader(strings.Repeat("no tar ", 1000)),
	} {
		dest := tree(t, t.TempDir(), map[string]string{"big": "before"})
		if _, err := Unpack(r, dest, "big", Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := look(t, dest); len(got) != 1 || got[0] != "big=before" {
			t.Errorf("%s: left %d entries", name, len(got))
		}
	}
}

type faultyReader struct{}

func (faultyReader) Read([]byte) (int, error) { return 0, errors.New("the session broke") }

// TestSpecialFiles: names, sizes, modes and several names for one file come over; a pipe is said and left out.
func TestSpecialFiles(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name with\nnewline and ünïcode"
	from := tree(t, t.TempDir(), map[string]string{"s/" + long: "L", "s/empty": "", "s/a": "one", "s/dead>nowhere": ""})
	for _, err := range []error{os.Link(from+"/s/a", from+"/s/b"),
		os.Chmod(from+"/s/a", 0o751|fs.ModeSetuid), os.Chmod(from+"/s/empty", 0o400),
		os.Mkdir(from+"/s/closed", 0o555), os.Chtimes(from+"/s/long", when, when),
		mkfifo(from + "/s/pipe")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dest := t.TempDir()
	said, err := copyTree(t, from+"/s", "s", dest)
	if err != nil || len(said) != 1 || !strings.Contains(said[0], `pipe" is left out: it is a named pipe`) {
		t.Fatalf("got %v, %q", err, said)
	}
	a, _ := os.Stat(dest + "/s/a")
	b, _ := os.Stat(dest + "/s/b")
	if !os.SameFile(a, b) || a.Mode() != 0o751 || !a.ModTime().Equal(when) {
		t.Errorf("a is %v of %v, b %v", a.Mode(), a.ModTime(), b.Mode())
	}
	if st, _ := os.Stat(dest + "/s/closed"); st.Mode().Perm() != 0o555 {
		t.Errorf("the directory is %v", st.Mode())
	}
	if st, _ := os.Stat(dest + "/s/long"); !st.ModTime().Equal(when) {
		t.Errorf("the directory is of %v", st.ModTime())
	}
	if got, err := os.ReadFile(dest + "/s/" + long); string(got) != "L" {
		t.Errorf("the long name: %q %v", got, err)
	}
	var stream bytes.Buffer
	exact := Options{Exact: true}
	if _, err := Pack(&stream, from+"/s", "s", exact); err != nil {
		t.Fatal(err)
	}
	dest = t.TempDir()
	if _, err := Unpack(&stream, dest, "s", exact); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(dest + "/s/a"); st.Mode() != 0o751|fs.ModeSetuid {
		t.Errorf("exactly: %v", st.Mode())
	}
}

// TestHoles: a file of 9 GiB with a few bytes in it costs a few blocks in the stream and on the disk, and any tar reads it.
func TestHoles(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, strings.Repeat("x", 120))
	f, err := os.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	const size = 9 << 30
	for at, text := range map[int64]string{1 << 20: "one", 8 << 30: "two"} {
		if _, err := f.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if f, err := os.Open(from); err != nil || dataParts(f, size) == nil {
		t.Skip("this file system has no holes")
	}
	var b bytes.Buffer
	done, err := Pack(&b, from, filepath.Base(from), Options{})
	if err != nil || done.Bytes != size || b.Len() > 1<<20 {
		t.Fatalf("%+v %v, %d bytes of stream", done, err, b.Len())
	}
	h, err := tar.NewReader(bytes.NewReader(b.Bytes())).Next()
	if err != nil || h.Size != size || h.Name != filepath.Base(from) || h.Mode != 0o644 {
		t.Fatalf("%+v %v", h, err)
	}
	dest := t.TempDir()
	if _, err := Unpack(&b, dest+"/copy", filepath.Base(from), Options{}); err != nil {
		t.Fatal(err)
	}
	g, err := os.Open(dest + "/copy")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	text := make([]byte, 5)
	g.ReadAt(text, 8<<30-1)
	if st, _ := g.Stat(); st.Size() != size || string(text) != "\x00two\x00" || dataParts(g, size) == nil {
		t.Errorf("the copy has %d bytes, %q", st.Size(), text)
	}
}

func TestRecord(t *testing.T) {
	for _, n := range []int{1, 80, 85, 86, 87, 88, 89, 90, 91, 92, 93, 900, 985, 986, 987, 988, 989, 990, 991, 992, 993} {
		got := record("k", strings.Repeat("v", n))
		if want := fmt.Sprint(len(got)); !strings.HasPrefix(got, want+" k=") {
			t.Errorf("a record of %d bytes says %.10q", len(got), got)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "site/", Mode: 0o755})
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "site/../x", Linkname: ".."})
	w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		outer := tree(t, t.TempDir(), map[string]string{"there/": ""})
		h, err := tar.NewReader(bytes.NewReader(raw)).Next()
		if err == nil && h.Size > 1<<20 {
			return
		}
		Unpack(bytes.NewReader(raw), filepath.Join(outer, "there"), "site", Options{})
		for _, l := range look(t, outer) {
			if l != "there/" && !strings.HasPrefix(l, "there/site") {
				t.Errorf("there is %q", l)
			}
		}
	})
}

// TestAttributes: what belongs to the owner goes along, of files with holes and of directories too; the system's own does not, whatever a
// stream says, and is no more than the kernel would take.
func TestAttributes(t *testing.T) {
	from := tree(t, t.TempDir(), map[string]string{"d/": "", "d/a": "text", "d/holes": ""})
	if err := os.Truncate(filepath.Join(from, "d/holes"), 1<<20); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"d", "d/a", "d/holes"} {
		set(t, filepath.Join(from, at), "user.who", "ann\x00\n=")
	}
	var b bytes.Buffer
	if _, err := Pack(&b, filepath.Join(from, "d"), "d", Options{Complain: func(s string) { t.Error(s) }}); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if _, err := Unpack(&b, to, "d", Options{Complain: func(s string) { t.Error(s) }}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"d", "d/a", "d/holes"} {
		if got := attributesOf(t, filepath.Join(to, at)); len(got) != 1 || got["user.who"] != "ann\x00\n=" {
			t.Errorf("%s: %q", at, got)
		}
	}

	records := map[string]string{attribute + "trusted.x": "1", attribute + "security.selinux": "1", attribute + "user.": "1",
		attribute + "security.capability": "1", "other": "1", attribute + "user.a": "1", attribute + "system.posix_acl_access": "1"}
	for i := range 80 {
		records[fmt.Sprintf("%suser.z%02d", attribute, i)] = "x"
	}
	big := map[string]string{attribute + "user.a": "1", attribute + "user.b": strings.Repeat("x", 70<<10), attribute + "user.c": "1"}
	b.Reset()
	w := tar.NewWriter(&b)
	for name, r := range map[string]map[string]string{"many": records, "big": big} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: r}); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	var said []string
	if _, err := Unpack(&b, to, Any, Options{Complain: func(s string) { said = append(said, s) }}); err != nil {
		t.Fatal(err)
	}
	many, few := attributesOf(t, filepath.Join(to, "many")), attributesOf(t, filepath.Join(to, "big"))
	for name := range many {
		if !strings.HasPrefix(name, "user.") {
			t.Errorf("%s is set", name)
		}
	}
	if many["user.a"] != "1" || len(many) < 50 || len(many) > maxAttributes || len(few) != 1 || len(said) != 2 ||
		!strings.Contains(said[0], "left out: it has more than 64") {
		t.Errorf("%d and %d are set; %q", len(many), len(few), said)
	}
}

// TestOwnersAttributes: capabilities and ACLs go with owners only.
func TestOwnersAttributes(t *testing.T) {
	for name, owners := range map[string]bool{"user.a": false, "security.capability": true, "system.posix_acl_access": true,
		"system.posix_acl_default": true} {
		if kept(name, false) == owners || !kept(name, true) {
			t.Errorf("%s: %v without owners, %v with them", name, kept(name, false), kept(name, true))
		}
	}
	for _, name := range []string{"trusted.overlay.opaque", "security.ima", "user.", "user.a=b", "system.nfs4_acl",
		"user." + strings.Repeat("x", 300),
		""} {
		if kept(name, true) {
			t.Errorf("%.60q is kept", name)
		}
	}
}

// TestKnownOfDirectories: what a stream has kept in memory is bounded, however long its names and attributes are.
func TestKnownOfDirectories(t *testing.T) {
	u := &unpacker{}
	long := &tar.Header{Typeflag: tar.TypeDir,
		PAXRecords: map[string]string{attribute + "user.a": strings.Repeat("x", 1<<20), "comment": "x"}}
	for i := range 1000 {
		l, err := u.later("d", long)
		if err != nil {
			if i < 200 {
				t.Errorf("after %d: %v", i, err)
			}
			return
		}
		if len(l.PAXRecords) != 1 {
			t.Fatalf("%d records are kept", len(l.PAXRecords))
		}
	}
	t.Error("a thousand directories with a MiB each are kept")
}
