//go:build qemu

package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/nbd"
)

// TestPowerRounds: disks on which files are written, snapshots taken, received and restored, and which are full now and then, lose their
// power at a random write, and with it what was not flushed, or some of it. Each time all that was acknowledged is there, all of it is
// sound, records, subvolumes and quota groups agree, and it goes on; in the end all is deleted, and no quota group is left. ROUNDS is how
// many cuts; SEED repeats them.
func TestPowerRounds(t *testing.T) {
	rounds := 10
	if os.Getenv("HARDNODE_SOAK") != "" {
		rounds = 50
	}
	rounds = harness.Number(t, "ROUNDS", rounds)
	seed := harness.Number(t, "SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("SEED=%d ROUNDS=%d", seed, rounds)
	dir := harness.Dir(t)
	p := powers{T: t, rnd: rand.New(rand.NewPCG(uint64(seed), 0)), dir: dir, acked: make([]int, min(rounds, 5))}
	for i := range p.acked {
		p.acked[i] = -1
		path := p.path(i)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 512<<20); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs.btrfs", "-q", path).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.btrfs: %v: %s", err, out)
		}
	}
	for done := 0; done < rounds; done += len(p.acked) {
		p.cut()
	}
	p.boot("", nil, func(string) bool { return false }) // and all of it once more
	t.Logf("%d steps found no room, and were done with more; %d superblocks were written in part", p.full, p.torn)
}

// powers are disks whose power is cut together.
type powers struct {
	*testing.T
	rnd   *rand.Rand
	dir   string
	conf  harness.Config
	acked []int // the last step that each acknowledged
	full  int   // steps that found no room
	torn  int   // superblocks that were written in part
}

func (p *powers) path(i int) string { return filepath.Join(p.dir, "disk"+strconv.Itoa(i)) }

// cut has the disks go on until each of them has taken a random number of writes, and cuts the power.
func (p *powers) cut() {
	disks := make([]*nbd.Disk, len(p.acked))
	still := make([]<-chan struct{}, len(disks))
	for i := range disks {
		var err error
		if disks[i], err = nbd.Open(p.path(i)); err != nil {
			p.Fatal(err)
		}
	}
	began := false
	before := fmt.Sprint(p.acked)
	p.boot("1", disks, func(line string) bool {
		if began = began || strings.HasPrefix(line, "ack "); began && still[0] == nil { // it is mounted
			for i, d := range disks {
				still[i] = d.StandStill(p.rnd.IntN(400))
			}
		}
		if still[0] == nil {
			return false
		}
		for _, s := range still {
			select {
			case <-s:
			default:
				return false
			}
		}
		return true
	})
	for i, d := range disks {
		were, lost, err := d.Cut(p.rnd)
		if err == nil {
			err = d.Close()
		}
		if err != nil {
			p.Fatal(err)
		}
		p.Logf("disk %d: cut behind step %d; of %d writes that were not flushed %d are not there, or in part", i, p.acked[i], were, lost)
	}
	p.Logf("steps acknowledged before %s, now %d", before, p.acked)
}

// boot runs the guest, until cut says of a line of it, or of "" now and then, that its power goes, or the test in it ends well.
func (p *powers) boot(rounds string, disks []*nbd.Disk, cut func(line string) bool) {
	p.Helper()
	g := harness.GuestTest{Package: "./agent/snapshot", Run: "^TestPower$", Timeout: 10 * time.Minute,
		Env: []string{"HARDNODE_ROUNDS=" + rounds, "HARDNODE_POWER=" + strings.Trim(fmt.Sprint(p.acked), "[]")}}
	for i := range p.acked {
		d := harness.Disk{Path: p.path(i), Serial: "disk" + strconv.Itoa(i)}
		if disks != nil {
			d.Cut = disks[i]
		}
		g.Disks = append(g.Disks, d)
	}
	ctx, cancel := context.WithTimeout(p.Context(), 5*time.Minute*harness.Scale())
	defer cancel()
	vm, err := harness.Start(ctx, g.Config(p.T, p.dir))
	if err != nil {
		p.Fatal(err)
	}
	defer vm.Kill()
	off := false
	for n := 0; ; {
		wait, stop := context.WithTimeout(ctx, time.Second)
		e, err := vm.Event(wait, n)
		waited := wait.Err() != nil && ctx.Err() == nil
		stop()
		line := ""
		switch {
		case err == nil:
			n++
			line = e.Text()
			if e.Kind == "exit" && rounds == "" && line == "ok" {
				return
			}
			if e.Kind == "exit" || strings.HasPrefix(line, "failed ") {
				p.Fatalf("%s\n%s", line, vm.Console.Excerpt(30))
			}
			var disk, step int
			if k, _ := fmt.Sscanf(line, "ack %d %d", &disk, &step); k == 2 {
				p.acked[disk] = step
			}
			var had, gone int
			if k, _ := fmt.Sscanf(line, "swept %d %d %d", &disk, &had, &gone); k == 3 {
				p.Logf("disk %d: with all deleted, of %d quota groups %d went by the sweep, the others by the kernel", disk, had, gone)
			}
			switch {
			case strings.HasPrefix(line, "full "):
				p.full++
			case strings.HasPrefix(line, "healed "):
				p.torn++
			}
		case off:
			return
		case !waited:
			p.Fatal(err)
		}
		if !off && cut(line) {
			off = true // what it said before counts, too
			vm.Kill()
		}
	}
}
