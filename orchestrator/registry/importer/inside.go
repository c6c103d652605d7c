package importer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/catalog"
	"hardnode.dev/orchestrator/registry/erofs"
	"hardnode.dev/orchestrator/registry/flatten"
)

// searchPath is where the agent looks for a program when the image sets no PATH.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// inside looks into an image that was written.
type inside struct {
	tree  *flatten.Tree
	plan  *erofs.Plan
	image catalog.Image
}

// head is the first bytes of the file that a path leads to, at most max; n is nil if there is no regular file.
func (i *inside) head(name string, max int) (n *erofs.Node, raw []byte, err error) {
	if n = i.tree.Find(name); n == nil || !n.IsRegular() {
		return nil, nil, nil
	}
	raw = make([]byte, min(n.Size, int64(max)))
	_, err = i.plan.ReadContent(i.image, n, 0, raw)
	return n, raw, err
}

// complete adds to t what the files say: who the process is, its HOME, the ids needed; and why it may not start.
func (i *inside) complete(c v1.Config, t *host.Template) error {
	var broken error
	a, err := user(c.User, func(name string) []byte {
		n, raw, err := i.head(name, maxTable)
		if err != nil || n != nil && n.Size > maxTable {
			broken = bad("/%s: has %d bytes, at most %d are read (%v)", name, n.Size, maxTable, err)
		}
		return raw
	})
	if broken != nil {
		return broken
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	t.Process.UID, t.Process.GID, t.Process.Groups = a.uid, a.gid, a.groups
	if t.Process.Env["HOME"] == "" {
		if t.Process.Env == nil {
			t.Process.Env = map[string]string{}
		}
		t.Process.Env["HOME"] = a.home
	}
	t.IDBlocks = i.tree.IDBlocks()
	for _, id := range append([]uint32{a.uid, a.gid}, a.groups...) {
		if b := uint16(id >> 16); b > 0 && !slices.Contains(t.IDBlocks, b) {
			t.IDBlocks = append(t.IDBlocks, b)
		}
	}
	if slices.Sort(t.IDBlocks); len(t.IDBlocks) > host.MaxIDBlocks {
		return bad("user %.40q is %d:%d: with it the image's owners are in more than %d blocks of 65,536 numbers: give it numbers that "+
			"lie closer to those of its files",
			c.User, a.uid, a.gid, host.MaxIDBlocks+1)
	}
	warn := func(format string, args ...any) { t.Warnings = append(t.Warnings, fmt.Sprintf(format, args...)) }
	for _, dir := range []string{"proc", "sys", "dev", "run", "tmp", "etc"} {
		if n := i.tree.Find(dir); n != nil && !n.IsDir() || n == nil && i.tree.Root().Children[dir] != nil {
			warn("/%s of the image is no directory: containers need one there", dir)
		}
	}
	if cwd := t.Process.Cwd; cwd != "" {
		if n := i.tree.Find(cwd); n != nil && !n.IsDir() {
			warn("its working directory %.100q is a file", cwd)
		}
	}
	return i.program(t, warn)
}

// program says why the program can't be run.
func (i *inside) program(t *host.Template, warn func(string, ...any)) error {
	name := t.Process.Argv[0]
	if !strings.Contains(name, "/") {
		search, ok := t.Process.Env["PATH"]
		if !ok {
			search = searchPath
		}
		found := ""
		for _, d := range strings.Split(search, ":") {
			if n := i.tree.Find(path.Join(d, name)); strings.HasPrefix(d, "/") && n != nil && n.IsRegular() && n.Mode&0o111 != 0 {
				found = path.Join(d, name)
				break
			}
		}
		if found == "" {
			warn("the program %.100q is in no directory of PATH (%.200s)", name, search)
			return nil
		}
		name = found
	} else if !path.IsAbs(name) {
		name = "/" + strings.Trim(t.Process.Cwd, "/") + "/" + name
	}
	for range 4 { // a script's interpreter may be a script
		n, raw, err := i.head(name, 4096)
		if err != nil {
			return err
		}
		next, why := "", ""
		switch found := i.tree.Find(name); {
		case found == nil:
			why = "is not in the image"
		case n == nil:
			why = "is no regular file"
		case !executable(n, t.Process):
			why = fmt.Sprintf("may not be executed by user %d:%d: its mode is %04o and its owner %d:%d", t.Process.UID, t.Process.GID,
				n.Mode&0o7777, n.UID, n.GID)
		case bytes.HasPrefix(raw, []byte("#!")):
			line, _, _ := bytes.Cut(raw[2:], []byte("\n"))
			if bytes.HasSuffix(line, []byte("\r")) {
				why = "is a script with Windows line ends: its interpreter's name would end in a carriage return"
			} else if f := strings.Fields(string(line)); len(f) == 0 {
				why = "is a script without an interpreter"
			} else {
				next = f[0]
			}
		default:
			next, why = i.elf(n, raw)
		}
		if why != "" {
			warn("%.200q %s", name, why)
			return nil
		}
		if next == "" {
			return nil
		}
		if i.tree.Find(next) == nil {
			warn("%.200q needs %.200q to run, which is not in the image", name, next)
			return nil
		}
		if name = next; !bytes.HasPrefix(raw, []byte("#!")) {
			return nil // the dynamic linker is looked for, not into
		}
	}
	return nil
}

func executable(n *erofs.Node, p host.Process) bool {
	switch {
	case p.UID == 0:
		return n.Mode&0o111 != 0
	case n.UID == p.UID:
		return n.Mode&0o100 != 0
	case n.GID == p.GID || slices.Contains(p.Groups, n.GID):
		return n.Mode&0o010 != 0
	}
	return n.Mode&0o001 != 0
}

// machines are ELF's numbers of processors (System V ABI, e_machine), by Go's names.
var machines = map[string]uint16{"amd64": 62, "arm64": 183, "riscv64": 243, "s390x": 22, "ppc64le": 21, "386": 3, "arm": 40}

// elf reads a program's header: the dynamic linker it wants, or why it can't be run.
func (i *inside) elf(n *erofs.Node, head []byte) (linker, why string) {
	if len(head) == 0 {
		return "", "is an empty file"
	}
	if len(head) < 64 || !bytes.HasPrefix(head, []byte("\x7fELF")) {
		return "", "is neither a program (ELF) nor a script that starts with #!"
	}
	le := binary.LittleEndian
	machine := le.Uint16(head[18:])
	if head[5] == 2 {
		machine = binary.BigEndian.Uint16(head[18:])
	}
	if want := machines[runtime.GOARCH]; machine != want || head[5] != 1 {
		for arch, m := range machines {
			if m == machine {
				return "", "is a program for " + arch + ", this cluster runs " + runtime.GOARCH
			}
		}
		return "", fmt.Sprintf("is a program for another processor (ELF machine %d), this cluster runs %s", machine, runtime.GOARCH)
	}
	if head[4] != 2 { // 32 bits: its linker is not looked for
		return "", ""
	}
	// An offset beyond the file, or one that wraps, reads nothing.
	off, size, count := le.Uint64(head[32:]), le.Uint16(head[54:]), le.Uint16(head[56:])
	for k := range min(int(count), 100) {
		b := make([]byte, 56)
		at := off + uint64(k)*uint64(size)
		if got, err := i.plan.ReadContent(i.image, n, int64(at), b); err != nil || got < len(b) {
			return "", "is a damaged program: its header is cut off"
		}
		if le.Uint32(b) != 3 { // PT_INTERP
			continue
		}
		raw := make([]byte, min(le.Uint64(b[32:]), 4096))
		at = le.Uint64(b[8:])
		if got, err := i.plan.ReadContent(i.image, n, int64(at), raw); err != nil || got < len(raw) {
			return "", "is a damaged program: its header is cut off"
		}
		return strings.TrimRight(string(raw), "\x00"), ""
	}
	return "", ""
}
