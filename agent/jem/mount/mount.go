// Package mount is JEM's module of what is mounted in a container.
//
// Owns: how mounts are shown, and that a container makes none.
// In: the kernel's table of this process's mounts.
// Out: a row for each; a refusal that says who mounts.
// Never: mounts or unmounts: the host does, and binds it in.
package mount

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "mount", Help: "what is mounted", Actions: []contract.Action{
	{Name: "list", Args: "[--all]", Help: "places that are mounted, and how; --all: the kernel's and the host's too", Reads: true,
		Begin: list},
	{Name: "add", Args: "…", Help: "refused: the host mounts", Reads: true, Begin: refused},
	{Name: "remove", Args: "…", Help: "refused: the host mounts", Reads: true, Begin: refused},
}}

func refused(*contract.Call) (contract.Steps, error) {
	return contract.Steps{}, &jem.Error{Code: "denied",
		Reason: "a container does not mount: its host does, and binds the place in",
		Next:   "name the volume in the environment's topology; hnctl node volume list NODE shows what there is"}
}

// mount is a line of mountinfo.
type mount struct{ target, kind, source, options string }

const (
	maxTable = 4 << 20
	maxRows  = 2000
)

func list(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(0, 0, "all")
	return contract.Steps{Do: func(context.Context) error {
		raw, err := file.Read(filepath.Join(c.Root, "proc/self/mountinfo"), maxTable)
		if err != nil {
			return &jem.Error{Code: "unavailable", Reason: "the table of mounts can't be read: " + err.Error()}
		}
		c.Reply.Columns = []string{"target", "type", "source", "options"}
		n := 0
		for line := range strings.Lines(strings.ToValidUTF8(string(raw), "?")) {
			m, ok := parse(line)
			if !ok || !a.Has("all") && m.kernels() {
				continue
			}
			if n++; n <= maxRows {
				c.Row(m.target, m.kind, m.source, m.options)
			}
		}
		c.Done("%d places are mounted", n)
		return nil
	}}, err
}

// parse reads a line (proc_pid_mountinfo(5)): fields, those that are optional, "-", and three more. A place has its own options, and its
// file system has some: what either forbids is forbidden.
func parse(line string) (m mount, ok bool) {
	head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
	h, t := strings.Fields(head), strings.Fields(tail)
	if !ok || len(h) < 6 || len(t) < 3 {
		return m, false
	}
	m = mount{target: plain(h[4]), kind: t[0], source: plain(t[1]), options: h[5]}
	if strings.HasPrefix(t[2], "ro") && strings.HasPrefix(m.options, "rw") {
		m.options = "ro" + strings.TrimPrefix(m.options, "rw")
	}
	return m, true
}

// plain undoes the kernel's octal escapes.
func plain(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "?")
}

// kernels tells whether it is of the trees that every container has.
func (m mount) kernels() bool {
	for _, d := range []string{"/proc", "/sys", "/dev", "/run/hardnode"} {
		if m.target == d || strings.HasPrefix(m.target, d+"/") {
			return true
		}
	}
	return false
}
