package serve

import (
	"bytes"
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/mount/message"
)

// op is an operation: the form of its request and what it does.
type op struct {
	fixed   int  // bytes of its structure
	names   int  // that follow, each with a 0 behind it
	data    bool // bytes follow
	changes bool // something in the volume
	once    bool // done twice, it would say something else than done once
	run     func(*call) unix.Errno
}

// ops are the operations that are answered; the kernel can do without any other.
var ops = map[message.Op]op{
	message.Lookup:      {names: 1, run: lookup},
	message.GetAttr:     {fixed: 16, run: getAttr},
	message.SetAttr:     {fixed: 88, changes: true, run: setAttr},
	message.ReadLink:    {run: readLink},
	message.SymLink:     {names: 2, changes: true, once: true, run: symLink},
	message.MkNod:       {fixed: 16, names: 1, changes: true, once: true, run: mkNod},
	message.MkDir:       {fixed: 8, names: 1, changes: true, once: true, run: mkDir},
	message.Unlink:      {names: 1, changes: true, once: true, run: func(c *call) unix.Errno { return c.unlink(0) }},
	message.RmDir:       {names: 1, changes: true, once: true, run: func(c *call) unix.Errno { return c.unlink(unix.AT_REMOVEDIR) }},
	message.Rename:      {fixed: 8, names: 2, changes: true, once: true, run: func(c *call) unix.Errno { return c.rename(0) }},
	message.Rename2:     {fixed: 16, names: 2, changes: true, once: true, run: func(c *call) unix.Errno { return c.rename(c.u32(8)) }},
	message.Link:        {fixed: 8, names: 1, changes: true, once: true, run: link},
	message.Open:        {fixed: 8, once: true, run: open},
	message.Create:      {fixed: 16, names: 1, changes: true, once: true, run: create},
	message.Read:        {fixed: 40, run: read},
	message.Write:       {fixed: 40, data: true, changes: true, once: true, run: write}, // behind the end it moves
	message.StatFS:      {run: statFS},
	message.Release:     {fixed: 24, run: release},
	message.FSync:       {fixed: 16, run: fsync},
	message.FSyncDir:    {fixed: 16, run: fsyncDir},
	message.SetXattr:    {fixed: 8, names: 1, data: true, changes: true, run: setXattr},
	message.GetXattr:    {fixed: 8, names: 1, run: getXattr},
	message.ListXattr:   {fixed: 8, run: listXattr},
	message.RemoveXattr: {names: 1, changes: true, once: true, run: removeXattr},
	message.ReadDir:     {fixed: 40, run: func(c *call) unix.Errno { return c.list(false) }},
	message.ReadDirPlus: {fixed: 40, run: func(c *call) unix.Errno { return c.list(true) }},
	message.FAllocate:   {fixed: 32, changes: true, run: fallocate},
	message.LSeek:       {fixed: 24, run: lseek},
}

// call is one request at work.
type call struct {
	s     *Session
	v     *Volume
	r     message.Request
	fixed []byte
	names []string
	data  []byte
	out   []byte // the answer so far
}

func (c *call) u32(at int) uint32 { return binary.LittleEndian.Uint32(c.fixed[at:]) }
func (c *call) u64(at int) uint64 { return binary.LittleEndian.Uint64(c.fixed[at:]) }

// parse takes the body apart.
func (c *call) parse(o op) unix.Errno {
	b := c.r.Body
	if len(b) < o.fixed {
		return unix.EINVAL
	}
	c.fixed, b = b[:o.fixed], b[o.fixed:]
	for range o.names {
		name, rest, ended := bytes.Cut(b, []byte{0})
		if !ended {
			return unix.EINVAL
		}
		c.names, b = append(c.names, string(name)), rest
	}
	if c.data = b; len(b) > 0 && !o.data {
		return unix.EINVAL
	}
	return 0
}

// isName tells whether a name can be one of a directory's.
func isName(s string) unix.Errno {
	switch {
	case s == "" || s == "." || s == ".." || strings.Contains(s, "/"):
		return unix.EINVAL
	case len(s) > 255:
		return unix.ENAMETOOLONG
	}
	return 0
}

// place opens the directory that the request is about, for a name in it.
func (c *call) place(node uint64, name string) (dir int, errno unix.Errno) {
	if errno := isName(name); errno != 0 {
		return -1, errno
	}
	return c.v.dir(node)
}
