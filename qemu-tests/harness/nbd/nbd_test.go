package nbd

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
)

const size = 1 << 20

// guest is the other end of a connection.
type guest struct {
	*testing.T
	net.Conn
	cookie uint64
}

func connect(t *testing.T, d *Disk) (*guest, *Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	c := d.Connect(theirs)
	t.Cleanup(func() {
		ours.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &guest{t, ours, 0}, c
}

func (g *guest) put(values ...any) {
	g.Helper()
	if err := send(g, values...); err != nil {
		g.Fatal(err)
	}
}

func (g *guest) get(into any) {
	g.Helper()
	if err := binary.Read(g, binary.BigEndian, into); err != nil {
		g.Fatal(err)
	}
}

// begin negotiates as QEMU does: it asks for structured replies, which are not there, and then for the disk.
func (g *guest) begin() {
	g.Helper()
	var hello struct {
		Magic, Option uint64
		Flags         uint16
	}
	if g.get(&hello); hello.Magic != magicServer || hello.Option != magicOption || hello.Flags != 3 {
		g.Fatalf("the server says %+v", hello)
	}
	g.put(uint32(3))
	var reply struct {
		Magic              uint64
		Option, Kind, Size uint32
	}
	g.put(uint64(magicOption), uint32(8), uint32(0))
	if g.get(&reply); reply.Kind != repUnsupported || reply.Option != 8 {
		g.Fatalf("an option that is not known gets %+v", reply)
	}
	g.put(uint64(magicOption), uint32(optGo), uint32(6), uint32(0), uint16(0))
	var export struct {
		Kind  uint16
		Size  uint64
		Flags uint16
	}
	if g.get(&reply); reply.Kind != repInfo || reply.Size != 12 {
		g.Fatalf("the disk is told as %+v", reply)
	}
	if g.get(&export); export.Size != size || export.Flags != can {
		g.Fatalf("the disk is %+v", export)
	}
	var sectors struct {
		Kind             uint16
		Least, Best, Max uint32
	}
	g.get(&reply)
	if g.get(&sectors); sectors.Kind != infoBlockSize || sectors.Least != Sector {
		g.Fatalf("its sectors are %+v", sectors)
	}
	if g.get(&reply); reply.Kind != repAck {
		g.Fatalf("at the end %+v", reply)
	}
}

func (g *guest) asks(kind, flags uint16, at, size int64, data []byte) {
	g.Helper()
	g.cookie++
	g.put(uint32(magicRequest), flags, kind, g.cookie, uint64(at), uint32(size), data)
}

// does asks for something, and returns the error's number and, of a read, the data.
func (g *guest) does(kind, flags uint16, at, size int64, data []byte) (uint32, []byte) {
	g.Helper()
	g.asks(kind, flags, at, size, data)
	var a struct {
		Magic, Err uint32
		Cookie     uint64
	}
	if g.get(&a); a.Magic != magicAnswer || a.Cookie != g.cookie {
		g.Fatalf("answered %+v, want cookie %d", a, g.cookie)
	}
	if kind != cmdRead || a.Err != 0 {
		return a.Err, nil
	}
	got := make([]byte, size)
	g.get(got)
	return 0, got
}

func (g *guest) writes(at int64, flags uint16, data []byte) {
	g.Helper()
	if e, _ := g.does(cmdWrite, flags, at, int64(len(data)), data); e != 0 {
		g.Fatalf("write at %d: error %d", at, e)
	}
}

func (g *guest) flushes() {
	g.Helper()
	if e, _ := g.does(cmdFlush, 0, 0, 0, nil); e != 0 {
		g.Fatalf("flush: error %d", e)
	}
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func disk(t *testing.T) (*Disk, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

// What a guest writes it reads again, flushed or not; what makes no sense is refused.
func TestServe(t *testing.T) {
	d, path := disk(t)
	g, c := connect(t, d)
	g.begin()
	g.writes(4096, 0, fill('a', 8192))
	if e, _ := g.does(cmdZeroes, 0, 8192, 512, nil); e != 0 {
		t.Errorf("write zeroes: error %d", e)
	}
	want := append(append(fill('a', 4096), fill(0, 512)...), fill('a', 3584)...)
	if _, got := g.does(cmdRead, 0, 4096, 8192, nil); !bytes.Equal(got, want) {
		t.Error("it reads something else")
	}
	g.flushes()
	for _, x := range [][2]int64{{size, 512}, {size - 512, 1024}, {3, 512}, {0, 100}} {
		if e, _ := g.does(cmdRead, 0, x[0], x[1], nil); e != errInvalid {
			t.Errorf("read %d bytes at %d: error %d", x[1], x[0], e)
		}
	}
	if e, _ := g.does(99, 0, 0, 0, nil); e != errInvalid {
		t.Errorf("a request that is not known: error %d", e)
	}
	g.asks(cmdDisconnect, 0, 0, 0, nil)
	if n, err := g.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if raw, err := os.ReadFile(path); err != nil || !bytes.Equal(raw[4096:4096+8192], want) {
		t.Errorf("the file has something else, %v", err)
	}
}

// A cut loses nothing that was flushed or written with FUA, and each sector is as it was or as it was to be; the same seed loses the same.
func TestCut(t *testing.T) {
	lost, torn := 0, 0
	for seed := range uint64(40) {
		var first []byte
		for range 2 {
			d, path := disk(t)
			g, c := connect(t, d)
			g.begin()
			g.writes(0, 0, fill('a', 16384))
			g.flushes()
			g.writes(0, 0, fill('b', 8192))
			g.writes(16384, flagFUA, fill('f', 4096))
			if e, _ := g.does(cmdTrim, 0, 8192, 4096, nil); e != 0 {
				t.Fatalf("trim: error %d", e)
			}
			g.writes(0, 0, fill('c', 512))
			g.Close()
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			were, _, err := d.Cut(rand.New(rand.NewPCG(seed, 1)))
			if err != nil || were != 4 {
				t.Fatalf("%d writes were to be lost, %v", were, err)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = raw
			} else if !bytes.Equal(first, raw) {
				t.Fatalf("seed %d: the second time it is another disk", seed)
			}
			old := 0
			for at := 0; at < 24576; at += Sector {
				s := raw[at : at+Sector]
				could := map[bool]string{true: "ab"}[at < 8192]
				switch {
				case at == 0:
					could = "abc"
				case at >= 8192 && at < 12288:
					could = "a\x00"
				case at >= 12288 && at < 16384:
					could = "a"
				case at >= 16384 && at < 20480:
					could = "f"
				case at >= 20480:
					could = "\x00"
				}
				if !bytes.ContainsAny(s[:1], could) || !bytes.Equal(s, fill(s[0], Sector)) {
					t.Fatalf("seed %d: sector %d begins with %q, want one of %q", seed, at/Sector, s[:4], could)
				}
				if at < 8192 && s[0] == 'a' {
					old++
				}
			}
			switch {
			case old == 16:
				lost++
			case old > 1:
				torn++
			}
		}
	}
	if lost < 10 || torn < 10 {
		t.Errorf("of 80 cuts %d lost all of a write and %d a part of it", lost, torn)
	}
}

// A disk that stands still has taken the writes until then, and answers nothing more; the next machine finds it as it was.
func TestStandStill(t *testing.T) {
	d, _ := disk(t)
	g, c := connect(t, d)
	g.begin()
	still := d.StandStill(2)
	g.writes(0, 0, fill('a', 512))
	g.writes(512, 0, fill('b', 512))
	select {
	case <-still:
		t.Error("it stands still before it was asked for more")
	default:
	}
	g.asks(cmdWrite, 0, 1024, 512, fill('c', 512))
	<-still
	g.Close()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	d.GoOn()
	g, _ = connect(t, d)
	g.begin()
	if _, got := g.does(cmdRead, 0, 0, 1536, nil); !bytes.Equal(got, append(append(fill('a', 512), fill('b', 512)...), fill(0, 512)...)) {
		t.Errorf("it reads %q…", got[:4])
	}
}

// A trace has each write, and where the flushes were.
func TestTrace(t *testing.T) {
	d, _ := disk(t)
	g, _ := connect(t, d)
	g.begin()
	g.writes(0, 0, fill('a', 512))
	d.Trace()
	g.writes(512, 0, fill('b', 1024))
	g.flushes()
	if e, _ := g.does(cmdZeroes, 0, 4096, 4096, nil); e != 0 {
		t.Fatal(e)
	}
	all := d.Traced()
	if len(all) != 3 || all[0].At != 512 || !bytes.Equal(all[0].Data, fill('b', 1024)) || !all[1].Flush || all[2].Size != 4096 ||
		all[2].Data != nil || d.Writes() != 3 {
		t.Errorf("traced %+v of %d writes", all, d.Writes())
	}
	other, path := disk(t)
	if err := other.Replay(all[:2]); err != nil {
		t.Fatal(err)
	}
	if were, _, err := other.Cut(rand.New(rand.NewPCG(1, 1))); err != nil || were != 0 {
		t.Errorf("%d writes were to be lost after a flush, %v", were, err)
	}
	want := append(append(fill(0, 512), fill('b', 1024)...), fill(0, 512)...)
	if raw, err := os.ReadFile(path); err != nil || !bytes.Equal(raw[:2048], want) {
		t.Errorf("what was done again is another disk, %v", err)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if _, err := Open(path); err == nil {
		t.Error("a disk that is not there was opened")
	}
	if err := os.WriteFile(path, fill('a', 700), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("a disk of one sector and a half was opened")
	}
}

// Nonsense ends the connection, with an error.
func TestNonsense(t *testing.T) {
	for name, say := range map[string]func(*guest){
		"an option without its magic": func(g *guest) { g.put(uint32(3), uint64(1), uint32(7), uint32(0)) },
		"an option without an end":    func(g *guest) { g.put(uint32(3), uint64(magicOption), uint32(7), uint32(1<<31)) },
	} {
		d, _ := disk(t)
		ours, theirs := net.Pipe()
		c := d.Connect(theirs)
		g := &guest{t, ours, 0}
		io.ReadFull(g, make([]byte, 18))
		say(g)
		if _, err := io.ReadAll(g); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Close(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
