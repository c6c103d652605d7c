package ports

import (
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestOwn: many at once are all different, below the kernel's own, and free.
func TestOwn(t *testing.T) {
	raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	if low, err := strconv.Atoi(strings.Fields(string(raw))[0]); err != nil || low < first+count {
		t.Errorf("the kernel gives out ports from %d on (%v)", low, err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[string]bool{}
	for range 200 {
		wg.Go(func() {
			addr := Own(t)
			mu.Lock()
			defer mu.Unlock()
			if seen[addr] {
				t.Errorf("%s was given twice", addr)
			}
			seen[addr] = true
		})
	}
	wg.Wait()
}

// TestAgain: what was closed can be listened on again, however many others ask meanwhile.
func TestAgain(t *testing.T) {
	l := Listen(t)
	l.Close()
	for range 100 {
		Listen(t).Close()
	}
	again, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
