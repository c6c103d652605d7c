// Package command holds what belongs to one command that is executed in a running container: its streams and its cgroup.
//
// Owns: the pipes or the terminal of each session, the cgroups of commands, and which of them is kept for the next one.
// In: what the caller reads and writes; the record of the container.
// Out: the ends of the command's streams for the spawner; cgroups that end with their session.
// Never: executes anything (the spawner does), or waits for a reader who holds the output of a command that has ended.
package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
)

// Session is the descriptors of one Exec.
type Session struct {
	Stdio
	Theirs [3]*os.File // the command's ends
	ours   [3]*os.File // this side's: to write stdin, to read stdout and stderr; with a terminal the first two are one
	output sync.WaitGroup
	input  sync.WaitGroup
	stop   chan struct{}
	flow   [2]flow // of stdout and stderr
}

func (s *Session) Pipes(owner uint32) error {
	for i := range 3 {
		if i == 0 && s.In == nil {
			f, err := os.Open(os.DevNull)
			if err != nil {
				return err
			}
			s.Theirs[0] = f
			continue
		}
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("make pipe: %w", err)
		}
		mine, their := 0, 1
		if i == 0 {
			mine, their = 1, 0
		}
		unix.SetNonblock(p[mine], true)
		s.ours[i], s.Theirs[i] = os.NewFile(uintptr(p[mine]), "session"), os.NewFile(uintptr(p[their]), "session")
		if err := unix.Fchown(p[their], int(owner), int(owner)); err != nil {
			return fmt.Errorf("hand over pipe: %w", err)
		}
	}
	return nil
}

func (s *Session) Terminal(pid int, owner uint32, rows, cols uint16) error {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open root of container: %w", err)
	}
	defer root.Close()
	master, slave, err := sys.OpenPTY(root, owner)
	if err != nil {
		return err
	}
	s.ours[0], s.ours[1] = master, master
	s.Theirs = [3]*os.File{slave, slave, slave}
	if rows > 0 && cols > 0 {
		return sys.ResizePTY(master, rows, cols)
	}
	return nil
}

// Pump starts carrying bytes; the command runs now and holds its own ends.
func (s *Session) Pump() {
	s.closeTheirs()
	s.stop = make(chan struct{})
	var turn sync.Mutex
	for i, to := range []io.Writer{s.Out, s.Err} {
		from := s.ours[i+1]
		if from == nil {
			continue
		}
		if to == nil {
			to = io.Discard
		}
		out := &inTurn{mu: &turn, to: to}
		s.output.Go(func() { s.flow[i].copy(out, from) })
	}
	if s.In != nil && s.ours[0] != nil {
		s.input.Go(func() {
			io.Copy(s.ours[0], s.In)
			if s.ours[0] != s.ours[1] {
				s.ours[0].Close()
			}
		})
	}
	if s.Resize != nil && s.ours[0] == s.ours[1] {
		s.input.Go(func() {
			for {
				select {
				case size, ok := <-s.Resize:
					if !ok {
						return
					}
					sys.ResizePTY(s.ours[0], size[0], size[1])
				case <-s.stop:
					return
				}
			}
		})
	}
}

// inTurn lets stdout and stderr go to one writer.
type inTurn struct {
	mu *sync.Mutex
	to io.Writer
}

func (w *inTurn) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// Finish waits for the last output and closes the input; when ctx is done nobody wants more of it. It tells whether somebody still holds
// the output.
func (s *Session) Finish(ctx context.Context) (left bool) {
	if s.stop == nil {
		return false // never pumped
	}
	close(s.stop)
	s.closeTheirs()
	left = s.drain(ctx)
	if s.In != nil {
		s.In.Close()
	}
	s.Close()
	s.input.Wait()
	return left
}

func (s *Session) closeTheirs() {
	for i, f := range s.Theirs {
		if f != nil && (i == 0 || f != s.Theirs[0]) {
			f.Close()
		}
	}
	s.Theirs = [3]*os.File{}
}

func (s *Session) Close() {
	s.closeTheirs()
	for _, f := range s.ours {
		if f != nil {
			f.Close() // a second Close is an error nobody needs
		}
	}
}

// drain waits for the end of the output: as long as the receiver needs for what was written, but not for a background child of the command
// that holds the pipe open and writes nothing, nor for one that goes on writing when the client has gone. left tells that there is such a
// child.
func (s *Session) drain(ctx context.Context) (left bool) {
	all := make(chan struct{})
	go func() { s.output.Wait(); close(all) }()
	t := time.NewTicker(DrainFor / 10)
	defer t.Stop()
	end := func() {
		left = true
		for _, f := range s.ours[1:] {
			if f != nil {
				f.Close() // ends the reads
			}
		}
	}
	gone := ctx.Done()
	for {
		select {
		case <-all:
			return left
		case <-gone:
			gone = nil
			end()
		case now := <-t.C:
			open, quiet := 0, 0
			for i, f := range s.ours[1:] {
				if f == nil || s.flow[i].over() {
					continue
				}
				open++
				if s.flow[i].idle(now) > DrainFor && !pending(f) {
					quiet++
				}
			}
			if open == 0 || quiet < open || left { // with none open, all comes at once
				continue
			}
			end()
		}
	}
}

// pending tells whether a reader of f would get something, or learn of its end, at once: on a busy host the reader may not have had its
// turn.
func pending(f *os.File) bool {
	c, err := f.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = c.Control(func(fd uintptr) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	return err == nil && n > 0
}

// DrainFor is how long nothing may come, after the command has ended, from one who holds its output.
const DrainFor = 500 * time.Millisecond

// Stdio is what an exec session is connected to.
type Stdio struct {
	In     io.ReadCloser    // nil is /dev/null; Exec closes it when the process has ended
	Out    io.Writer        // nil discards; with a terminal, all its output
	Err    io.Writer        // nil discards; unused with a terminal
	Resize <-chan [2]uint16 // rows, cols of the terminal; nil for none
}
