package command

import (
	"bytes"
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
		left := s.Finish()
		command.Close()
		if got := out.got.Len(); got != 200_000 {
			t.Errorf("held %v: %d bytes came within %s", held, got, time.Since(began))
		}
		if left != held {
			t.Errorf("held %v: the session says %v", held, left)
		}
	}
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
