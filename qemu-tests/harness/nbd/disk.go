// Package nbd is a disk of a virtual machine that loses what a real one may lose when its power is cut.
//
// Owns: the disk's content, and what was written to it since the guest's last flush.
// In: a file with the content; QEMU's end of a connection, over which it speaks NBD.
// Out: the file, as a cut left it; the writes one by one, for who wants to see what each of them leaves.
// Never: knows what the writes are for.
//
// Source: the NBD project's "The NBD protocol" (doc/proto.md): fixed newstyle negotiation, simple replies.
package nbd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Sector is the least that a disk writes as one, in bytes: a cut leaves each sector as it was or as it was to be.
const Sector = 512

// Disk is a disk whose power can be cut. Open makes one; its methods may be called from any goroutine.
type Disk struct {
	size int64
	mu   struct {
		sync.Mutex
		file    *os.File
		pending []*write // since the last flush, in their order
		count   int      // of all writes
		trace   []Write
		tracing bool
		left    int // writes until the disk stands still; negative: it goes on
		still   chan struct{}
	}
}

// write is one that is not on the disk for good yet.
type write struct {
	at, size int64
	data     []byte  // nil: zeros
	old      []piece // what was there before, but for holes
	kept     bool    // with FUA: it is on the disk for good, whatever was written before
}

type piece struct {
	at   int64
	data []byte
}

// Write is one write as the guest asked for it, or a flush between two.
type Write struct {
	At, Size int64
	Data     []byte // nil: zeros
	Kept     bool   // with FUA: it is on the disk for good when it is answered
	Flush    bool
}

// Open takes a file as the disk.
func Open(path string) (*Disk, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the disk: %v", err)
	}
	st, err := f.Stat()
	if err == nil && (st.Size() == 0 || st.Size()%Sector != 0) {
		err = fmt.Errorf("open the disk %s: %d bytes are no sectors", path, st.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	d := &Disk{size: st.Size()}
	d.mu.file, d.mu.left, d.mu.still = f, -1, make(chan struct{})
	return d, nil
}

// Close closes the file, with all that was written.
func (d *Disk) Close() error { return d.mu.file.Close() }

// Cut is what becomes of the disk when its power is cut: of the writes since the last flush each is there, is not there, or is there in
// part, as rnd has it. Nobody is connected any more. It returns how many writes there were to lose, and how many are not there as a whole.
func (d *Disk) Cut(rnd *rand.Rand) (were, lost int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	pending := d.mu.pending
	d.mu.pending = nil
	for i := len(pending) - 1; i >= 0 && err == nil; i-- {
		err = d.undo(pending[i])
	}
	for _, w := range pending {
		if err != nil {
			break
		}
		fate := rnd.IntN(3)
		if w.kept || fate == 0 {
			err = d.put(w.at, w.size, w.data)
			continue
		}
		if lost++; fate == 1 {
			continue
		}
		first, likely := rnd.Int64N(w.size/Sector+1), rnd.IntN(2) == 0
		for at := int64(0); at < w.size && err == nil; at += Sector { // its first sectors, or any
			if there := at/Sector < first; likely && there || !likely && rnd.IntN(2) == 0 {
				err = d.put(w.at+at, Sector, part(w.data, at))
			}
		}
	}
	return len(pending), lost, err
}

func part(data []byte, at int64) []byte {
	if data == nil {
		return nil
	}
	return data[at : at+Sector]
}

// Writes is how many it has taken.
func (d *Disk) Writes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.count
}

// Trace begins to keep every write, from this moment on.
func (d *Disk) Trace() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.tracing, d.mu.trace = true, nil
}

// Traced ends that, and returns them.
func (d *Disk) Traced() []Write {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.mu.trace
	d.mu.tracing, d.mu.trace = false, nil
	return all
}

// Replay does what was traced, up to a moment, after which the power may be cut (Cut).
func (d *Disk) Replay(traced []Write) error {
	for _, w := range traced {
		err := error(nil)
		if w.Flush {
			err = d.flush()
		} else {
			err = d.write(w.At, w.Size, w.Data, w.Kept)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// StandStill lets the disk take n more writes, and answer nothing after. The channel is closed when it has come to that.
func (d *Disk) StandStill(n int) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.left, d.mu.still = n, make(chan struct{})
	return d.mu.still
}

// GoOn lets a disk that stands still answer again whoever connects next.
func (d *Disk) GoOn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.left = -1
}

// errStill: the disk does not answer any more.
var errStill = errors.New("the disk stands still")

// write takes a write: data, or size zeros.
func (d *Disk) write(at, size int64, data []byte, kept bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.alive(); err != nil {
		return err
	}
	w := &write{at: at, size: size, data: data, kept: kept}
	var err error
	if w.old, err = d.content(at, size); err == nil {
		err = d.put(at, size, data)
	}
	if err != nil {
		return err
	}
	d.mu.count++
	d.mu.pending = append(d.mu.pending, w)
	if d.mu.tracing {
		d.mu.trace = append(d.mu.trace, Write{At: at, Size: size, Data: bytes.Clone(data), Kept: kept})
	}
	if d.mu.left > 0 {
		d.mu.left--
	}
	return nil
}

// alive is asked before anything that changes the disk; the lock is held.
func (d *Disk) alive() error {
	if d.mu.left != 0 {
		return nil
	}
	select {
	case <-d.mu.still:
	default:
		close(d.mu.still)
	}
	return errStill
}

// flush makes all that was written last.
func (d *Disk) flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.alive(); err != nil {
		return err
	}
	if d.mu.pending = nil; d.mu.tracing {
		d.mu.trace = append(d.mu.trace, Write{Flush: true})
	}
	return nil
}

func (d *Disk) read(at int64, into []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.mu.file.ReadAt(into, at)
	return err
}

// content is what is in a range of the file, but for holes.
func (d *Disk) content(at, size int64) (list []piece, err error) {
	fd := int(d.mu.file.Fd())
	for end := at + size; at < end; {
		from, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && from >= end {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		to, err := unix.Seek(fd, from, unix.SEEK_HOLE)
		if err != nil {
			return list, err
		}
		p := piece{from, make([]byte, min(to, end)-from)}
		if _, err := d.mu.file.ReadAt(p.data, from); err != nil && !errors.Is(err, io.EOF) {
			return list, err
		}
		list, at = append(list, p), from+int64(len(p.data))
	}
	return list, nil
}

// put puts data, or zeros, into the file.
func (d *Disk) put(at, size int64, data []byte) error {
	if data == nil {
		return unix.Fallocate(int(d.mu.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, size)
	}
	_, err := d.mu.file.WriteAt(data, at)
	return err
}

func (d *Disk) undo(w *write) error {
	err := d.put(w.at, w.size, nil)
	for _, p := range w.old {
		if err == nil {
			err = d.put(p.at, int64(len(p.data)), p.data)
		}
	}
	return err
}
