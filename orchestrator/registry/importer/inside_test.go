package importer

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/flatten"
)

const (
	passwd = "root:x:0:0:r:/root:/s\nweb:x:33:34:w:/srv/web:/s\n" +
		"bad line\n1000:x:7:8:n:/n:/s\nrel:x:9:9::home:/s\nbig:x:100000:100000:b:/b:/s\n"
	groups = "root:x:0:root\nwww:x:34:\nssl:x:50:web,other\naudio:x:51:other,web\n"
)

// files is a tar of entries "path=text", "path>link", "path&hard link", "path/"; mode 0755.
func files(entries ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		at := strings.IndexAny(e, "=>&")
		h := &tar.Header{Name: e, Typeflag: tar.TypeDir, Mode: 0o755}
		text := ""
		if at >= 0 {
			h.Name, text = e[:at], e[at+1:]
			switch e[at] {
			case '=':
				h.Typeflag, h.Size = tar.TypeReg, int64(len(text))
			case '>':
				h.Typeflag, h.Linkname, text = tar.TypeSymlink, text, ""
			case '&':
				h.Typeflag, h.Linkname, text = tar.TypeLink, text, ""
			}
		}
		w.WriteHeader(h)
		w.Write([]byte(text))
	}
	w.Close()
	return b.Bytes()
}

func imported(t *testing.T, change func(*v1.ConfigFile), layers ...[]byte) (host.Template, error) {
	t.Helper()
	s := newStore()
	s.push("web:1", types.OCILayer, func(c *v1.ConfigFile, _ *v1.Manifest) { change(c) }, layers...)
	im, _ := newImporter(t, s)
	return im.Import(t.Context(), "web:1")
}

// TestUser: USER in every form of the OCI configuration.
func TestUser(t *testing.T) {
	for in, want := range map[string]string{
		"": "0:0 [] /root", "root": "0:0 [] /root", "web": "33:34 [50 51] /srv/web", "web:": "33:34 [50 51] /srv/web",
		" web ": "33:34 [50 51] /srv/web",
		"33":    "33:34 [50 51] /srv/web", "033": "33:34 [50 51] /srv/web", "33:": "33:34 [50 51] /srv/web", "web:ssl": "33:50 [] /srv/web",
		"web:0":  "33:0 [] /srv/web",
		"33:ssl": "33:50 [] /srv/web", "33:7": "33:7 [] /srv/web", ":50": "0:50 [] /root", ":ssl": "0:50 [] /root", ":": "0:0 [] /root",
		"1000": "1000:0 [] /", "1000:": "1000:0 [] /", "7": "7:8 [] /n", "rel": "9:9 [] /", "big": "100000:100000 [] /b",
		"4294967294": "4294967294:0 [] /",
		"none":       "not in the image's /etc/passwd", "web:none": "not in the image's /etc/group", "4294967295": "user number",
		"-1": "user number", "1:-1": "group number",
		"99999999999": "user number", "a:b:c": "not in the image's /etc/passwd",
	} {
		a, err := user(in, func(p string) []byte { return []byte(map[string]string{"etc/passwd": passwd, "etc/group": groups}[p]) })
		got := fmt.Sprintf("%d:%d %v %s", a.uid, a.gid, a.groups, a.home)
		if err != nil && errors.Is(err, flatten.ErrImage) {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("user %q: got %s, want %s", in, got, want)
		}
	}
	if a, err := user("1000:", func(string) []byte { return nil }); err != nil || a.uid != 1000 || a.home != "/" {
		t.Errorf("without tables: got %+v, %v", a, err)
	}
}

// TestUserInside: the tables are found wherever the image has them.
func TestUserInside(t *testing.T) {
	for name, layers := range map[string][][]byte{
		"plain": {files("etc/passwd="+passwd, "etc/group="+groups)},
		"Nix": {files("nix/store/x/passwd="+passwd, "nix/store/x/group="+groups, "etc/passwd>/nix/store/x/passwd",
			"etc/group>/nix/store/x/group")},
		"/etc a link":      {files("usr/etc/passwd="+passwd, "usr/etc/group="+groups, "etc>usr/etc")},
		"hard links":       {files("a="+passwd, "b="+groups, "etc/passwd&a", "etc/group&b")},
		"link beyond root": {files("p="+passwd, "g="+groups, "etc/passwd>../../../p", "etc/group>/../g")},
		"links in a row":   {files("p="+passwd, "g="+groups, "q>p", "etc/passwd>../q", "etc/group>/h", "h>g")},
		"upper layer":      {files("etc/passwd=root:x:0:0::/:/s\n", "etc/group="), files("etc/passwd="+passwd, "etc/group="+groups)},
		"link moved":       {files("p="+passwd, "g="+groups, "etc/passwd>/none", "etc/group>/g"), files("etc/passwd>/p")},
	} {
		got, err := imported(t, func(c *v1.ConfigFile) { c.Config.User = "web" }, layers...)
		if p := got.Process; err != nil || p.UID != 33 || p.GID != 34 || fmt.Sprint(p.Groups) != "[50 51]" || p.Env["HOME"] != "/srv/web" {
			t.Errorf("%s: got %+v, %v", name, p, err)
		}
	}
	for name, l := range map[string][]byte{"loop": files("etc/passwd>passwd"), "directory": files("etc/passwd/"),
		"too large": files("etc/passwd=" + strings.Repeat("#\n", 1<<20))} {
		if _, err := imported(t, func(c *v1.ConfigFile) { c.Config.User = "web" }, l); !errors.Is(err, flatten.ErrImage) {
			t.Errorf("%s: got %v, want an ErrImage", name, err)
		}
	}
	got, err := imported(t, func(c *v1.ConfigFile) { c.Config.User, c.Config.Env = "big", []string{"HOME=/own"} },
		files("etc/passwd="+passwd))
	if err != nil || fmt.Sprint(got.IDBlocks) != "[1]" || got.Process.Env["HOME"] != "/own" {
		t.Errorf("a high number: got blocks %v, HOME %q, %v", got.IDBlocks, got.Process.Env["HOME"], err)
	}
}

// TestVolumes: the directory of a volume is in the image, whether or not a layer has it.
func TestVolumes(t *testing.T) {
	with := func(volumes ...string) (host.Template, error) {
		return imported(t, func(c *v1.ConfigFile) {
			c.Config.Volumes = map[string]struct{}{}
			for _, v := range volumes {
				c.Config.Volumes[v] = struct{}{}
			}
		}, files("etc/x=1", "srv/"))
	}
	none, err := with()
	if err != nil {
		t.Fatal(err)
	}
	if there, err := with("/etc", "/srv/"); err != nil || there.Bytes != none.Bytes {
		t.Errorf("directories that are there: %d bytes of %d, %v", there.Bytes, none.Bytes, err)
	}
	if made, err := with("/data", "/var/lib/db"); err != nil || made.Digest == none.Digest {
		t.Errorf("directories that are missing: %v", err)
	}
	if _, err := with("/etc/x"); !errors.Is(err, flatten.ErrImage) || !strings.Contains(err.Error(), `volume "/etc/x"`) {
		t.Errorf("a file: %v", err)
	}
}

// elf is a program of 64 bits for a machine, with an interpreter if one is named.
func elf(machine uint16, interpreter string) string {
	b := make([]byte, 64+56)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[18:], machine)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	if interpreter != "" {
		le.PutUint32(b[64:], 3)
		le.PutUint64(b[64+8:], 120)
		le.PutUint64(b[64+32:], uint64(len(interpreter)+1))
	}
	return string(b) + interpreter + "\x00"
}

// TestWarnings: what can't start is said when the image comes, in words.
func TestWarnings(t *testing.T) {
	sh := "bin/sh=" + elf(62, "")
	far := []byte(elf(62, "/lib/ld"))
	binary.LittleEndian.PutUint64(far[32:], 1<<63+5)
	plainly := func(c *v1.ConfigFile) {}
	run := func(argv ...string) func(*v1.ConfigFile) {
		return func(c *v1.ConfigFile) { c.Config.Entrypoint, c.Config.Cmd = argv, nil }
	}
	for _, c := range []struct {
		name   string
		change func(*v1.ConfigFile)
		layer  []byte
		want   string
	}{
		{"static program", plainly, files("bin/run=" + elf(62, "")), ""},
		{"linker is there", plainly, files("bin/run="+elf(62, "/lib64/ld.so"), "usr/lib64/ld.so=x", "lib64>usr/lib64"), ""},
		{"script", plainly, files("bin/run=#! /bin/sh -e\n", sh), ""},
		{"found in PATH", run("run"), files("usr/bin/run=" + elf(62, "")), ""},
		{"found beside the working directory", func(c *v1.ConfigFile) { run("./run")(c); c.Config.WorkingDir = "/app" },
			files("app/run=" + elf(62, "")), ""},
		{"missing", plainly, files("etc/"), `"/bin/run" is not in the image`},
		{"not in PATH", run("run"), files("opt/run=" + elf(62, "")), "no directory of PATH"},
		{"directory", plainly, files("bin/run/"), "no regular file"},
		{"dangling link", plainly, files("bin/run>/nowhere"), "is not in the image"},
		{"other processor", plainly, files("bin/run=" + elf(183, "")), "for arm64"},
		{"unknown processor", plainly, files("bin/run=" + elf(999, "")), "ELF machine 999"},
		{"linker missing", plainly, files("bin/run=" + elf(62, "/lib64/ld-linux-x86-64.so.2")), `needs "/lib64/ld-linux`},
		{"interpreter missing", plainly, files("bin/run=#!/usr/bin/python3\n"), `needs "/usr/bin/python3" to run, which is not`},
		{"interpreter of the interpreter", plainly, files("bin/run=#!/bin/a\n", "bin/a=#!/bin/b\n"), `"/bin/a" needs "/bin/b"`},
		{"Windows line ends", plainly, files("bin/run=#!/bin/sh\r\n", sh), "Windows line ends"},
		{"text", plainly, files("bin/run=echo hello\n"), "neither a program"},
		{"empty", plainly, files("bin/run="), "empty file"},
		{"damaged", plainly, files("bin/run=" + string(far)), "damaged"},
		{"/proc a file", plainly, files("proc=x", "bin/run="+elf(62, "")), "/proc of the image is no directory"},
		{"/run a dangling link", plainly, files("run>/nowhere", "bin/run="+elf(62, "")), "/run of the image is no directory"},
		{"working directory a file", func(c *v1.ConfigFile) { c.Config.WorkingDir = "/bin/run" }, files("bin/run=" + elf(62, "")),
			"is a file"},
	} {
		got, err := imported(t, c.change, c.layer)
		if said := strings.Join(got.Warnings, "; "); err != nil || (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
			t.Errorf("%s: got %q, %v, want %q", c.name, said, err, c.want)
		}
	}
	n := files("bin/run=" + elf(62, ""))
	copy(n[100:], "0000644\x00")
	sum := 8 * int(' ')
	for i, b := range n[:512] {
		if i < 148 || i >= 156 {
			sum += int(b)
		}
	}
	copy(n[148:], fmt.Sprintf("%06o\x00 ", sum))
	if got, err := imported(t, plainly, n); err != nil || !strings.Contains(fmt.Sprint(got.Warnings), "may not be executed") {
		t.Errorf("not executable: got %v, %v", got.Warnings, err)
	}
}

// TestExposed: what an image exposes is documentation.
func TestExposed(t *testing.T) {
	for _, c := range []struct {
		ports  string
		labels map[string]string
		want   string
	}{
		{"6379/tcp", nil, "0 <nil>"},
		{"80/tcp 443/tcp", nil, "0 <nil>"},
		{"9000", map[string]string{host.LabelHTTPPort: "9000"}, "9000 <nil>"},
		{"5432/tcp", map[string]string{host.LabelCheckPort: "5432"}, "0 &{5432  0}"},
		{"80/tcp", map[string]string{host.LabelHTTPPort: "80", host.LabelCheckPath: "/up"}, "80 &{80 /up 0}"},
		{"80/tcp", map[string]string{host.LabelHTTPPort: "80", host.LabelCheckPort: "81", host.LabelCheckPath: "/up"}, "80 &{81 /up 0}"},
	} {
		got, err := imported(t, func(cf *v1.ConfigFile) {
			cf.Config.Labels, cf.Config.ExposedPorts = c.labels, map[string]struct{}{}
			for _, p := range strings.Fields(c.ports) {
				cf.Config.ExposedPorts[p] = struct{}{}
			}
		}, files("bin/run="+elf(62, "")))
		if said := fmt.Sprint(got.HTTPPort, " ", got.Check); err != nil || said != c.want {
			t.Errorf("%s %v: got %s, %v, want %s", c.ports, c.labels, said, err, c.want)
		}
	}
}

// TestVolumesWanted: the image's volumes are told, those that are written in place as such; one that is named and is none is refused.
func TestVolumesWanted(t *testing.T) {
	ask := func(inPlace string, volumes ...string) (host.Template, error) {
		return imported(t, func(cf *v1.ConfigFile) {
			cf.Config.Volumes = map[string]struct{}{}
			for _, v := range volumes {
				cf.Config.Volumes[v] = struct{}{}
			}
			cf.Config.Labels = map[string]string{host.LabelNoDataCOW: inPlace}
		}, files("bin/run="+elf(62, "")))
	}
	got, err := ask("/var/lib/db", "/var/lib/db", "/backup/")
	if said := fmt.Sprint(got.Volumes); err != nil || said != "[{/backup false} {/var/lib/db true}]" {
		t.Errorf("got %s, %v", said, err)
	}
	if _, err := ask("/other", "/var/lib/db"); err == nil || !strings.Contains(err.Error(), "none of the image's volumes") {
		t.Errorf("got %v, want that it is none of the volumes", err)
	}
}

// FuzzConfiguration: any configuration and table is described or refused.
func FuzzConfiguration(f *testing.F) {
	f.Add("web:ssl", "SIGRTMIN+3", "80", passwd, groups, "bin/run", []byte(elf(62, "/lib/ld")))
	f.Add(":50", "9", "0", "", "", "../x", []byte("#!/bin/sh\r\n"))
	f.Fuzz(func(t *testing.T, user, stop, port, passwd, groups, program string, content []byte) {
		s := newStore()
		s.push("web:1", types.OCIUncompressedLayer, func(c *v1.ConfigFile, _ *v1.Manifest) {
			c.Config.User, c.Config.StopSignal, c.Config.Entrypoint = user, stop, []string{program}
			c.Config.Labels = map[string]string{host.LabelHTTPPort: port, host.LabelStopAfter: port}
		}, files("etc/passwd="+passwd, "etc/group="+groups, "bin/run="+string(content)))
		im, _ := newImporter(t, s)
		got, err := im.Import(t.Context(), "web:1")
		if err != nil && !errors.Is(err, flatten.ErrImage) {
			t.Errorf("got %v, want an ErrImage", err)
		}
		if err == nil && (got.Validate() != nil || !got.Has(got.Process.UID)) {
			t.Errorf("got %+v: %v", got, got.Validate())
		}
	})
}
