package nbd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// The numbers of the protocol.
const (
	magicServer  = 0x4e42444d41474943 // NBDMAGIC
	magicOption  = 0x49484156454f5054 // IHAVEOPT
	magicReply   = 0x3e889045565a9
	magicRequest = 0x25609513
	magicAnswer  = 0x67446698

	fixedNewstyle, noZeroes = 1, 2

	optExportName, optAbort, optInfo, optGo = 1, 2, 6, 7
	repAck, repInfo                         = 1, 3
	repUnsupported                          = 1<<31 + 1
	infoExport, infoBlockSize               = 0, 3

	// what the disk can: flags are there, flush, FUA, trim, write zeroes
	can = 1 | 1<<2 | 1<<3 | 1<<5 | 1<<6

	cmdRead, cmdWrite, cmdDisconnect, cmdFlush, cmdTrim, cmdZeroes = 0, 1, 2, 3, 4, 6
	flagFUA                                                        = 1

	errIO, errInvalid = 5, 22
	most              = 32 << 20 // bytes of one request, of its data
)

// Conn is one machine's connection to a disk.
type Conn struct {
	conn net.Conn
	done chan struct{}
	end  struct {
		sync.Mutex
		err error
	}
}

// Connect serves the disk over conn until that ends.
func (d *Disk) Connect(conn net.Conn) *Conn {
	c := &Conn{conn: conn, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer conn.Close()
		err := d.serve(conn)
		c.end.Lock()
		defer c.end.Unlock()
		c.end.err = err
	}()
	return c
}

// Close ends the connection, and returns when nothing more is written to the disk. An error is of the protocol, or of the disk's file.
func (c *Conn) Close() error {
	c.conn.Close()
	<-c.done
	c.end.Lock()
	defer c.end.Unlock()
	var cut *net.OpError // of the connection: a machine whose power is cut says nothing more
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed} {
		if errors.Is(c.end.err, end) || errors.As(c.end.err, &cut) {
			return nil
		}
	}
	return c.end.err
}

func (d *Disk) serve(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, 256<<10)
	if err := d.negotiate(in, conn); err != nil {
		return fmt.Errorf("negotiate: %w", err)
	}
	for {
		if err := d.request(in, conn); err != nil {
			return err
		}
	}
}

// send writes values of fixed sizes, big-endian, as one.
func send(to io.Writer, values ...any) error {
	var raw []byte
	for _, v := range values {
		var err error
		if raw, err = binary.Append(raw, binary.BigEndian, v); err != nil {
			panic("BUG: " + err.Error())
		}
	}
	_, err := to.Write(raw)
	return err
}

// negotiate answers options until the client chooses the disk. There is one: its name is any.
func (d *Disk) negotiate(in io.Reader, out io.Writer) error {
	if err := send(out, uint64(magicServer), uint64(magicOption), uint16(fixedNewstyle|noZeroes)); err != nil {
		return err
	}
	var flags uint32
	if err := binary.Read(in, binary.BigEndian, &flags); err != nil {
		return err
	}
	for {
		var o struct {
			Magic        uint64
			Option, Size uint32
		}
		if err := binary.Read(in, binary.BigEndian, &o); err != nil {
			return err
		}
		if o.Magic != magicOption || o.Size > 64<<10 {
			return fmt.Errorf("an option of %d bytes with magic %x", o.Size, o.Magic)
		}
		if _, err := io.CopyN(io.Discard, in, int64(o.Size)); err != nil {
			return err
		}
		reply := func(kind uint32, data ...any) error {
			size := 0
			for _, v := range data {
				size += binary.Size(v)
			}
			return send(out, append([]any{uint64(magicReply), o.Option, kind, uint32(size)}, data...)...)
		}
		var err error
		switch o.Option {
		case optExportName:
			pad := make([]byte, 124)
			if flags&noZeroes != 0 {
				pad = nil
			}
			return send(out, uint64(d.size), uint16(can), pad)
		case optInfo, optGo:
			err = errors.Join(reply(repInfo, uint16(infoExport), uint64(d.size), uint16(can)),
				reply(repInfo, uint16(infoBlockSize), uint32(Sector), uint32(4096), uint32(most)), reply(repAck))
			if o.Option == optGo {
				return err
			}
		case optAbort:
			return errors.Join(reply(repAck), io.EOF)
		default:
			err = reply(repUnsupported)
		}
		if err != nil {
			return err
		}
	}
}

// request answers one.
func (d *Disk) request(in io.Reader, out io.Writer) error {
	var r struct {
		Magic       uint32
		Flags, Kind uint16
		Cookie, At  uint64
		Size        uint32
	}
	if err := binary.Read(in, binary.BigEndian, &r); err != nil {
		return err
	}
	if r.Magic != magicRequest {
		return fmt.Errorf("a request with magic %x", r.Magic)
	}
	at, size := int64(r.At), int64(r.Size)
	data := r.Kind == cmdRead || r.Kind == cmdWrite
	if data && size > most {
		return fmt.Errorf("a request of %d bytes", size)
	}
	var buf []byte
	if data {
		buf = make([]byte, size)
	}
	if r.Kind == cmdWrite {
		if _, err := io.ReadFull(in, buf); err != nil {
			return err
		}
	}
	answer := func(code uint32, data []byte) error { return send(out, uint32(magicAnswer), code, r.Cookie, data) }
	if at < 0 || at > d.size-size || (at|size)%Sector != 0 {
		return answer(errInvalid, nil)
	}
	var err error
	switch r.Kind {
	case cmdRead:
		if err = d.read(at, buf); err == nil {
			return answer(0, buf)
		}
	case cmdWrite:
		err = d.write(at, size, buf, r.Flags&flagFUA != 0)
	case cmdTrim, cmdZeroes:
		err = d.write(at, size, nil, r.Flags&flagFUA != 0)
	case cmdFlush:
		err = d.flush()
	case cmdDisconnect:
		return io.EOF
	default:
		return answer(errInvalid, nil)
	}
	if errors.Is(err, errStill) {
		_, err := io.Copy(io.Discard, in) // until who is connected has given up
		return errors.Join(err, io.EOF)
	}
	if err != nil {
		return errors.Join(err, answer(errIO, nil))
	}
	return answer(0, nil)
}
