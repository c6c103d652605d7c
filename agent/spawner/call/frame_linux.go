package call

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/neighbour"
)

// maxMessage is the largest JSON of one message, in bytes: environment and arguments of a program, and some.
const maxMessage = 4 << 20

// Send writes one message with descriptors beside it; the caller keeps its own.
func Send(c *net.UnixConn, v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %v", err)
	}
	if len(body) > maxMessage || len(files) > maxFDs {
		return fmt.Errorf("message: has %d bytes and %d descriptors, at most %d and %d are allowed", len(body), len(files),
			maxMessage, maxFDs)
	}
	msg := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	n, _, err := c.WriteMsgUnix(msg, oob, nil)
	for err == nil && n < len(msg) {
		msg = msg[n:]
		n, err = c.Write(msg)
	}
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Receive reads one message into v and returns the descriptors that came with it; the caller closes them. io.EOF when the
// peer has closed.
func Receive(c *net.UnixConn, v any) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			CloseAll(files)
			files = nil
		}
	}()
	var head [4]byte
	oob := make([]byte, unix.CmsgSpace(maxFDs*4))
	n, oobn, flags, _, err := c.ReadMsgUnix(head[:], oob)
	if err != nil || n == 0 {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("receive message: %w", err)
	}
	if files, err = rights(oob[:oobn]); err != nil {
		return files, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return files, errors.New("receive message: descriptors were cut off")
	}
	if n < len(head) {
		if _, err := io.ReadFull(c, head[n:]); err != nil {
			return files, fmt.Errorf("receive message: %w", err)
		}
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return files, fmt.Errorf("receive message: has %d bytes, at most %d are allowed", size, maxMessage)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return files, fmt.Errorf("receive message: %w", err)
	}
	return files, Decode(body, v)
}

// Decode reads one message's JSON. An agent that was replaced under a running spawner may be of a neighbouring version.
func Decode(body []byte, v any) error {
	if err := neighbour.Decode(body, v); err != nil {
		return fmt.Errorf("decode message: %v", err)
	}
	return nil
}

func rights(oob []byte) (files []*os.File, err error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("receive descriptors: %v", err)
	}
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, fmt.Errorf("receive descriptors: %v", err)
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

// CloseAll closes descriptors, nil ones left out.
func CloseAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// PeerIsRoot checks a connection's other end by SO_PEERCRED.
func PeerIsRoot(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("look at peer: %v", err)
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil ||
		cerr != nil {
		return fmt.Errorf("look at peer: %v", errors.Join(err, cerr))
	}
	if cred.Uid != 0 {
		return fmt.Errorf("peer has uid %d: only root may ask", cred.Uid)
	}
	return nil
}
