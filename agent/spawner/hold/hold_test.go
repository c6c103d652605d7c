package hold

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/spawner/fork"
)

func TestStateSurvivesATornWrite(t *testing.T) {
	s, err := newState()
	if err != nil {
		t.Fatal(err)
	}
	first := stored{Seq: 1, Records: []call.Record{{ID: "1", Note: json.RawMessage("{}"), PID: 7, Started: time.Unix(5, 0).UTC()}}}
	if err := s.save(first); err != nil {
		t.Fatal(err)
	}
	second := first
	second.Seq = 2
	if err := s.save(second); err != nil {
		t.Fatal(err)
	}
	again, err := openState(s.file)
	if err != nil || !reflect.DeepEqual(again.value, second) {
		t.Fatalf("got %+v %v, want %+v", again.value, err, second)
	}
	// The newer half is torn: its last bytes never came.
	if _, err := s.file.WriteAt([]byte("torn"), int64(s.turn%2)*halfBytes+halfHead+3); err != nil {
		t.Fatal(err)
	}
	if again, err = openState(s.file); err != nil || !reflect.DeepEqual(again.value, first) {
		t.Errorf("got %+v %v, want the half before", again.value, err)
	}
	if err := again.save(second); err != nil {
		t.Fatal(err)
	}
	if again, err = openState(s.file); err != nil || !reflect.DeepEqual(again.value, second) {
		t.Errorf("got %+v %v after a new write", again.value, err)
	}
}

func FuzzReadHalf(f *testing.F) {
	s, err := newState()
	if err != nil {
		f.Fatal(err)
	}
	s.save(stored{Seq: 3})
	b := make([]byte, 200)
	s.file.ReadAt(b, halfBytes)
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filepath.Join(t.TempDir(), "half")
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		readHalf(file, 0)
	})
}

// keeper remembers names as init would.
type keeper map[string]bool

func (k keeper) Keep(name string, _ *os.File) error { k[name] = true; return nil }
func (k keeper) Drop(name string) error             { delete(k, name); return nil }

// TestLifeOfARecord runs an ordinary child through the table: start, end, hint, forget.
func TestLifeOfARecord(t *testing.T) {
	k := keeper{}
	table, err := Open(nil, k, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- table.Watch() }()
	defer func() {
		table.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	start := func(generation int64, sh string) {
		t.Helper()
		if err := table.Begin("7"); err != nil {
			t.Fatal(err)
		}
		if err := table.Begin("7"); err != ErrRunning {
			t.Errorf("a second begin: %v", err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r2, w2, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", sh)
		cmd.Stdout, cmd.Stderr = w, w2
		err = cmd.Start()
		w.Close()
		w2.Close()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		child := &fork.Child{PID: cmd.Process.Pid, PIDFD: os.NewFile(uintptr(fd), "pidfd")}
		follow, err := table.Run(&call.Start{ID: "7", LogDir: filepath.Join(t.TempDir(), "log"), Generation: generation,
			Note: json.RawMessage(`{}`)}, child, r, r2)
		if err != nil {
			t.Fatal(err)
		}
		follow()
	}
	wait := func(after int64) {
		t.Helper()
		for {
			ids, last, change := table.Since(after)
			if last > after {
				if !reflect.DeepEqual(ids, []string{"7"}) {
					t.Errorf("ended: %v", ids)
				}
				return
			}
			select {
			case <-change:
			case <-time.After(time.Minute):
				t.Fatal("no end is told")
			}
		}
	}
	start(1, "exit 3")
	wait(0)
	list, seq := table.List("")
	if len(list) != 1 || list[0].Code != 3 || !list[0].Known || list[0].PID != 0 || list[0].Starts != 1 || seq != 1 {
		t.Errorf("after the end: %+v %d", list, seq)
	}
	if len(k) != 1 || !k[stateName] {
		t.Errorf("init keeps %v, want only the records", k)
	}
	start(1, "exec sleep 100")
	if err := table.Forget("7"); err != ErrRunning {
		t.Errorf("forget while it runs: %v", err)
	}
	if !k["ct.7.pid"] || !k["ct.7.out"] || !k["ct.7.err"] {
		t.Errorf("init keeps %v", k)
	}
	if err := table.Signal("7", 9); err != nil {
		t.Fatal(err)
	}
	wait(1)
	if list, _ = table.List(""); list[0].Code != 137 || list[0].Starts != 2 {
		t.Errorf("after the kill: %+v", list)
	}
	start(2, "exit 0")
	wait(2)
	if list, _ = table.List(""); list[0].Starts != 1 {
		t.Errorf("the count of starts goes on with a new generation: %+v", list)
	}
	if err := table.Signal("7", 9); err != ErrNotRunning {
		t.Errorf("signal to none: %v", err)
	}
	if err := table.Forget("7"); err != nil {
		t.Error(err)
	}
	if list, _ = table.List(""); len(list) != 0 {
		t.Errorf("after forget: %+v", list)
	}
	table.copies.Wait()
}

// TestEndsOfAPredecessorsContainers: whoever has become their parent is asked how they ended, while no spawner ran or later; who nobody
// knows of ended somehow.
func TestEndsOfAPredecessorsContainers(t *testing.T) {
	before, err := newState()
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]*os.File{stateName: before.file}
	var was stored
	processes := map[string]*exec.Cmd{}
	for _, id := range []string{"1", "2", "3"} {
		cmd := exec.Command("/bin/sh", "-c", "read x; exit 7")
		stdin, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		left[pidName(id)], processes[id] = os.NewFile(uintptr(fd), "pidfd"), cmd
		was.Records = append(was.Records, call.Record{ID: id, Note: json.RawMessage("{}"), PID: cmd.Process.Pid,
			Started: time.Unix(5, 0).UTC()})
		if id != "2" { // they end before the successor comes
			stdin.Close()
			cmd.Wait()
		}
	}
	if err := before.save(was); err != nil {
		t.Fatal(err)
	}
	codes := map[int]int{processes["1"].Process.Pid: 5, processes["2"].Process.Pid: 6}
	table, err := Open(left, keeper{}, nil, func(pid int) (int, bool) { code, known := codes[pid]; return code, known }, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- table.Watch() }()
	for ended := int64(2); ended <= 3; ended++ {
		for {
			_, last, change := table.Since(0)
			if last >= ended {
				break
			}
			select {
			case <-change:
			case <-time.After(time.Minute):
				t.Fatalf("%d of %d ends are told", last, ended)
			}
		}
		if ended == 2 {
			if list, _ := table.List("2"); list[0].PID == 0 {
				t.Errorf("a container that runs has ended: %+v", list)
			}
			processes["2"].Process.Kill()
		}
	}
	processes["2"].Wait()
	table.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	list, _ := table.List("")
	for i, want := range []struct {
		code  int
		known bool
	}{{5, true}, {6, true}, {0, false}} {
		if r := list[i]; r.PID != 0 || r.Code != want.code || r.Known != want.known {
			t.Errorf("container %s: %+v, want code %d, known %v", r.ID, r, want.code, want.known)
		}
	}
	table.copies.Wait()
}
