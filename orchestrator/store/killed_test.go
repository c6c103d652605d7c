package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/full"
)

// shrinkingVariable names the folder of a store whose file a process of this test writes anew until it is killed.
const shrinkingVariable = "HARDNODE_TEST_SHRINKING"

// TestKilledWhileShrinking: killed at any moment of writing its file anew, a store has all that it had, and what was left behind is gone.
func TestKilledWhileShrinking(t *testing.T) {
	if dir := os.Getenv(shrinkingVariable); dir != "" {
		s := opened(t, dir, nil)
		fmt.Println("\nshrinks")
		for {
			if err := s.m.server.Server.Backend().Defrag(); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	s := opened(t, dir, nil)
	const records = 32
	body := func(i int) string { return strings.Repeat(fmt.Sprint(i%10), 512<<10) }
	for i := range records {
		if _, err := s.Update(t.Context(), func(tx *Tx) error {
			Keys.Put(tx, fmt.Sprint("r", i), IdempotencyKey{Name: fmt.Sprint("r", i), Body: body(i)})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileShrinking$")
		cmd.Env = append(os.Environ(), shrinkingVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for in := bufio.NewScanner(out); in.Scan() && in.Text() != "shrinks"; {
		}
		time.Sleep(time.Duration(rnd.IntN(80)) * time.Millisecond) // any moment
		if err := cmd.Process.Kill(); err != nil {
			t.Fatalf("round %d: it had ended: %v", round, err)
		}
		cmd.Wait()
		s := opened(t, dir, nil)
		for i := range records {
			if k, ok := Keys.Get(s.View(), fmt.Sprint("r", i)); !ok || k.Body != body(i) {
				t.Errorf("round %d: record %d is lost", round, i)
			}
		}
		if left, err := filepath.Glob(filepath.Join(dir, "member", "member", "snap", "*tmp*")); err != nil || len(left) > 0 {
			t.Errorf("round %d: left behind: %q, %v", round, left, err)
		}
		s.Close()
	}
}

// A disk that fills up while the file is written anew leaves the store as it was; it goes on, and so does the next process.
func TestFullWhileShrinking(t *testing.T) {
	disk := full.Disk(t, 320<<10)
	dir := filepath.Join(disk, "store")
	s := opened(t, dir, nil)
	put := func(name string) error {
		_, err := s.Update(t.Context(), func(tx *Tx) error {
			Keys.Put(tx, name, IdempotencyKey{Name: name, Body: strings.Repeat("x", 1<<20)})
			return nil
		})
		return err
	}
	for i := range 16 {
		if err := put(fmt.Sprint("r", i)); err != nil {
			t.Fatal(err)
		}
	}
	free := full.Fill(t, disk, 4<<10)
	if err := s.m.server.Server.Backend().Defrag(); err == nil {
		t.Error("it was written anew where there was no room")
	} else {
		t.Log(err)
	}
	if _, ok := Keys.Get(s.View(), "r3"); !ok {
		t.Error("a record is lost")
	}
	free()
	if err := put("later"); err != nil {
		t.Errorf("with room: %v", err)
	}
	s.Close()
	again := opened(t, dir, nil)
	for _, name := range []string{"r0", "r15", "later"} {
		if _, ok := Keys.Get(again.View(), name); !ok {
			t.Errorf("%s is lost", name)
		}
	}
}
