package command

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/run"
)

// slowly takes what it is given at its own pace: much slower than a command's end is waited for.
type slowly struct {
	t   *testing.T
	got bytes.Buffer
}

func (s *slowly) Write(p []byte) (int, error) {
	run.Wait(s.t.Context(), DrainFor/2)
	return s.got.Write(p)
}

// A command wrote 200,000 bytes and ended; its receiver is slow. All of them come, unless somebody else holds the pipe: then all that was
// written when it ended, and the session says so.
func TestTailOfOutput(t *testing.T) {
	for _, held := range []bool{false, true} {
		out := &slowly{t: t}
		s := &Session{Stdio: Stdio{Out: out}}
		if err := s.Pipes(uint32(os.Getuid())); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Dup(int(s.Theirs[1].Fd())) // as the command has it
		if err != nil {
			t.Fatal(err)
		}
		command := os.NewFile(uintptr(fd), "command")
		s.Pump()
		if _, err := command.Write(make([]byte, 200_000)); err != nil {
			t.Fatal(err)
		}
		if !held {
			command.Close()
		}
		began := time.Now()
		left := s.Finish(t.Context())
		command.Close()
		if got := out.got.Len(); got != 200_000 {
			t.Errorf("held %v: %d bytes came within %s", held, got, time.Since(began))
		}
		if left != held {
			t.Errorf("held %v: the session says %v", held, left)
		}
	}
}

// A command has ended, and what it left behind writes on and on: the session ends when its client goes.
func TestWriterIsLeft(t *testing.T) {
	s := &Session{}
	if err := s.Pipes(uint32(os.Getuid())); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(s.Theirs[1].Fd()))
	if err != nil {
		t.Fatal(err)
	}
	bomb, over := os.NewFile(uintptr(fd), "bomb"), make(chan struct{})
	s.Pump()
	go func() {
		defer close(over)
		for {
			if _, err := bomb.Write([]byte("can't fork\n")); err != nil {
				return
			}
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan bool, 1)
	go func() { left <- s.Finish(ctx) }()
	select {
	case <-left:
		t.Error("the session ended while its client was there, and output came")
	case <-time.After(3 * DrainFor):
	}
	cancel()
	select {
	case l := <-left:
		if !l {
			t.Error("the session does not say that somebody holds the output")
		}
	case <-time.After(time.Minute):
		t.Error("a minute after its client the session is still there")
	}
	bomb.Close()
	<-over
}

// A reader that has not had its turn for long, on a busy host, is waited for while there is something for it in the pipe.
func TestPending(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if pending(r) {
		t.Error("an empty pipe has something")
	}
	if _, err := w.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if !pending(r) {
		t.Error("a byte is not seen")
	}
	if _, err := r.Read(make([]byte, 1)); err != nil || pending(r) {
		t.Error("an emptied pipe has something", err)
	}
	w.Close()
	if !pending(r) {
		t.Error("the end is not seen")
	}
}
