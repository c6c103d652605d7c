//go:build guest

package scrub

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/smart"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire/scrub"
)

const data = "/data"

// scrubbed has a new keeper scrub all of DATA.
func scrubbed(t *testing.T) (*Keeper, scrub.Status) {
	t.Helper()
	k := New(data, nil)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := k.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	defer func() { cancel(); <-over }()
	k.Begin()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s := k.Status(); !s.Began.IsZero() && !s.Ended.IsZero() {
			return k, s
		}
	}
	t.Fatalf("it does not end: %+v", k.Status())
	return nil, scrub.Status{}
}

// TestScrub: all of DATA is read; a block that is not what was written is found and said; one block group that is almost empty is given
// back.
func TestScrub(t *testing.T) {
	pattern := make([]byte, 4096)
	rand.Read(pattern)
	if err := os.WriteFile(data+"/file", bytes.Repeat(pattern, 64<<20/4096), 0o600); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	k, s := scrubbed(t)
	if s.Bytes < 64<<20 || s.Unreadable != 0 || s.Failed != "" || s.Percent != 100 || s.Data.Used < 64<<20 || k.Problem() != nil {
		t.Errorf("after the first scrub: %+v, %v", s, k.Problem())
	}
	t.Logf("a scrub: %s in %s", s.Line(), s.Ended.Sub(s.Began))

	dir, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	devices, err := btrfs.Devices(dir)
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, devices[0].Path, pattern)
	k, s = scrubbed(t)
	if p := k.Problem(); s.Unreadable == 0 || p == nil || !strings.Contains(p.Reason, "blocks are not what was written") {
		t.Errorf("after a block was spoiled: %+v, %v", s, p)
	}
	if moved, err := btrfs.Balance(dir, 100); err != nil && !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("balance: %v %v", moved, err)
	}
	if err := os.Remove(data + "/file"); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	if k, s = scrubbed(t); s.Unreadable != 0 || k.Problem() != nil {
		t.Errorf("after the file is gone: %+v, %v", s, k.Problem())
	}
	on, _ := disk.On("/sys/class/block", devices[0].Path)
	counted := smart.Errors(data)[on]
	if counted == 0 {
		t.Fatalf("of disk %q no errors are counted: %v", on, smart.Errors(data))
	}
	if n, err := smart.Forget(on, counted+1, data); err == nil || n != 0 || smart.Errors(data)[on] != counted {
		t.Errorf("errors that nobody has seen are forgotten: %d, %v", n, err)
	}
	if n, err := smart.Forget(on, counted, data); err != nil || n != counted || smart.Errors(data)[on] != 0 {
		t.Errorf("%d errors: %d are forgotten, %v; %d are counted", counted, n, err, smart.Errors(data)[on])
	}
	if n, err := smart.Forget(on, counted, data); err == nil || n != 0 {
		t.Errorf("twice: %d, %v", n, err)
	}
	if err := os.WriteFile(data+"/file", pattern, 0o600); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	if moved, err := btrfs.Balance(dir, 90); err != nil || !moved {
		t.Errorf("balance of a block group with little in it: %v %v", moved, err)
	}
}

// TestScrubber is no test, but what TestScrubKilled kills.
func TestScrubber(t *testing.T) {
	if os.Getenv("HARDNODE_SCRUB") == "" {
		t.Skip("HARDNODE_SCRUB is not set")
	}
	k := New(data, nil)
	k.Begin()
	if err := k.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestScrubKilled: an agent that is killed in the middle of a scrub is followed by one that goes on with the same, to its end.
func TestScrubKilled(t *testing.T) {
	block := make([]byte, 1<<20)
	f, err := os.Create(data + "/many")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	for range 256 {
		rand.Read(block)
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close(), os.RemoveAll(New(data, nil).doc().Path)); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe", "-test.run=^TestScrubber$")
	c.Env = append(os.Environ(), "HARDNODE_SCRUB=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var last struct{ Body kept } // Load is for its owner alone
	for end := time.Now().Add(2 * time.Minute); !last.Body.underWay() || last.Body.At == 0; time.Sleep(time.Millisecond) {
		raw, err := os.ReadFile(New(data, nil).doc().Path)
		if err == nil {
			err = json.Unmarshal(raw, &last)
		}
		if time.Now().After(end) || err == nil && !last.Body.Ended.IsZero() {
			break
		}
	}
	c.Process.Kill()
	c.Wait()
	if !last.Body.underWay() {
		t.Fatalf("killed at %+v", last)
	}
	_, s := scrubbed(t)
	if !s.Began.Equal(last.Body.Began) || s.Ended.IsZero() || s.Bytes < 256<<20 || s.Unreadable != 0 || s.Failed != "" {
		t.Errorf("it began %s, and now %+v", last.Body.Began, s)
	}
}

// spoil changes a byte of the first block of a disk that holds the pattern.
func spoil(t *testing.T, disk string, pattern []byte) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, b := int64(0), make([]byte, 1<<20); ; at += int64(len(b)) {
		n, err := f.ReadAt(b, at)
		if i := bytes.Index(b[:n], pattern); i >= 0 {
			if _, err := f.WriteAt([]byte("X"), at+int64(i)+100); err != nil {
				t.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err == io.EOF {
			t.Fatal("the pattern is not on the disk")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
