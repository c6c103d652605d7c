package calm

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestWatcher: the thread that is given slack is the one that wakes by itself while the program computes.
func TestWatcher(t *testing.T) {
	list, err := threads()
	if err != nil {
		t.Fatal(err)
	}
	tid := list[0]
	most := 0
	for end := time.Now().Add(20 * time.Second); most != tid; {
		if time.Now().After(end) {
			t.Fatalf("thread %d wakes most often, and %d is taken for the watcher", most, tid)
		}
		before := switches(t)
		for spin := time.Now().Add(300 * time.Millisecond); time.Now().Before(spin); {
		}
		most = 0
		woken := 0
		for id, n := range switches(t) {
			if n-before[id] > woken {
				most, woken = id, n-before[id]
			}
		}
	}
}

// switches is how often each thread has gone to sleep by itself.
func switches(t *testing.T) map[int]int {
	list := map[int]int{}
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, _ := os.ReadFile("/proc/self/task/" + e.Name() + "/status") // one may have ended
		var tid, n int
		for line := range strings.Lines(string(b)) {
			fmt.Sscanf(line, "Pid: %d", &tid)
			fmt.Sscanf(line, "voluntary_ctxt_switches: %d", &n)
		}
		list[tid] = n
	}
	return list
}

// TestSlack: the watcher has it, and no other thread keeps it.
func TestSlack(t *testing.T) {
	for end := time.Now().Add(20 * time.Second); ; {
		if err := Watcher(); errors.Is(err, os.ErrPermission) {
			t.Skipf("this user may not: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		list, err := threads()
		if err != nil {
			t.Fatal(err)
		}
		if has, err := slackOf(list[0]); err != nil || has != slack {
			t.Fatalf("the watcher has a slack of %s, %v", has, err)
		}
		others := 0 // that it has made since
		for _, tid := range list[1:] {
			if has, err := slackOf(tid); err == nil && has != usual {
				others++
			}
		}
		if others == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d threads beside the watcher keep its slack", others)
		}
	}
}
