package ring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// clock goes on by step with each look.
func clock(step time.Duration) func() time.Time {
	now := time.Unix(1000, 0)
	return func() time.Time { now = now.Add(step); return now }
}

func all(t *testing.T, dir string, tail int) []string {
	t.Helper()
	var got []string
	if err := Read(context.Background(), dir, tail, false, func(l Line) error {
		got = append(got, string(rune(l.Stream))+" "+string(l.Text))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCopyAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	w, err := Open(dir, clock(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("y", LineBytes+10)
	if err := Copy(w, Stdout, strings.NewReader("one\n\ntwo\n"+long+"\nlast")); err != nil {
		t.Fatal(err)
	}
	if err := Copy(w, Stderr, strings.NewReader("bad\n")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	want := []string{"o one", "o ", "o two", "o " + long[:LineBytes], "o " + long[LineBytes:], "o last", "e bad"}
	if got := all(t, dir, 0); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %.300q", got)
	}
	if got := all(t, dir, 2); fmt.Sprint(got) != "[o last e bad]" {
		t.Errorf("tail 2: %.300q", got)
	}
	if got := all(t, filepath.Join(dir, "none"), 0); len(got) != 0 {
		t.Errorf("no log: %q", got)
	}
}

func TestSizeIsBounded(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(dir, clock(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte("x"), 8000)
	for i := range 1000 {
		if err := w.Line(Stdout, append([]byte(fmt.Sprint(i, " ")), line...)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	entries, _ := os.ReadDir(dir)
	var sum int64
	for _, e := range entries {
		i, _ := e.Info()
		sum += i.Size()
	}
	if len(entries) != 2 || sum > 2*FileBytes {
		t.Errorf("%d files with %d bytes", len(entries), sum)
	}
	got := all(t, dir, 0)
	if len(got) < 120 || !strings.HasPrefix(got[len(got)-1], "o 999 ") {
		t.Errorf("%d lines, the last %.20q", len(got), got[len(got)-1])
	}
	again, err := Open(dir, clock(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	again.Line(Stdout, []byte("after"))
	again.Close()
	if got := all(t, dir, 1); got[0] != "o after" {
		t.Errorf("a log opened again: %q", got)
	}
}

func TestRateIsBounded(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1000, 0)
	w, err := Open(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte("x"), 1000)
	for range 2000 {
		w.Line(Stdout, line)
	}
	kept := len(all(t, dir, 0))
	if kept < Burst/1100 || kept > Burst/1000 {
		t.Errorf("%d lines of 1000 bytes were kept from a burst of %d", kept, Burst)
	}
	now = now.Add(time.Second)
	w.Line(Stdout, []byte("later"))
	w.Close()
	got := all(t, dir, 2)
	if want := fmt.Sprintf("h %d lines dropped: more than %d bytes a second", 2000-kept, Rate); got[0] != want || got[1] != "o later" {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A flood is read no faster than Flood; what it says last is kept all the same, and a stream that floods no more is not held up.
func TestFloodIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := Open(t.TempDir(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		const total = Burst + 8*Flood
		in, out := io.Pipe()
		var errs []error
		done := make(chan struct{})
		go func() {
			defer close(done)
			errs = append(errs, Copy(w, Stdout, in))
		}()
		began := time.Now()
		line := append(bytes.Repeat([]byte("x"), 99), '\n')
		for range total / len(line) {
			out.Write(line)
		}
		if took := time.Since(began); took < 6*time.Second || took > 12*time.Second {
			t.Errorf("%d MiB took %s, want about 8 s", total>>20, took)
		}
		time.Sleep(10 * time.Second)
		began = time.Now()
		for range 100 {
			out.Write(line)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("10 KiB after the flood took %s", took)
		}
		out.Close()
		<-done
		if err := errors.Join(append(errs, w.Close())...); err != nil {
			t.Error(err)
		}
	})
}

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(dir, clock(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	w.Line(Stdout, []byte("old"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := errors.New("enough")
	n := 0
	err = Read(ctx, dir, 0, true, func(l Line) error {
		if n++; n == 1 {
			w.Line(Stderr, []byte("new"))
			w.mu.Lock()
			w.turn()
			w.mu.Unlock()
			w.Line(Stdout, []byte("after the turn"))
		}
		if string(l.Text) == "after the turn" {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) || n != 3 {
		t.Errorf("%d lines, %v", n, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("1000000 o hello"))
	f.Add([]byte("x o hello"))
	f.Add([]byte("1 o"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, ok := Parse(b)
		if ok && !bytes.HasSuffix(b, l.Text) {
			t.Errorf("%q gave %+v", b, l)
		}
	})
}

func FuzzCopy(f *testing.F) {
	f.Add([]byte("a\nb"), 3)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece < 1 || len(b) > 1<<16 {
			return
		}
		var lines [][]byte
		rest := []byte{}
		for i := 0; i < len(b); i += piece {
			rest = append(rest, b[i:min(i+piece, len(b))]...)
			rest = bytes.Clone(split(rest, func(l []byte) { lines = append(lines, bytes.Clone(l)) }))
		}
		joined := 0
		for _, l := range append(lines, rest) {
			if len(l) > LineBytes {
				t.Errorf("a line of %d bytes", len(l))
			}
			joined += len(l)
		}
		if want := len(b) - bytes.Count(b, []byte("\n")); joined != want {
			t.Errorf("%d bytes came through, want %d", joined, want)
		}
	})
}
