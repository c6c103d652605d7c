//go:build qemu

package story

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// The mixed load of TestMetering.
const (
	meteredOn  = 150 * time.Second // before orchestrator and metering are off, and after
	meteredOff = 5 * time.Minute
	meteredBar = 0.01 // of what the kernel counts
)

// loaded is a program that has $HOLD bytes of shared memory, and burns processor time or writes to disk as $LOAD says, with pauses, until
// /tmp/quiet is there. From then on it does nothing.
const loaded = `[ -n "$HOLD" ] && head -c "$HOLD" /dev/zero >/dev/shm/held
while [ "$LOAD" ] && [ ! -e /tmp/quiet ]; do
	case $LOAD in
	burn) i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; sleep 0.5 ;;
	write) dd if=/dev/zero of=/var/blob bs=64k count=64 conv=fsync 2>/dev/null; sleep 2 ;;
	esac
done
exec sleep 1000000`

// pushLoad pushes the template load.
func (s story) pushLoad() {
	s.Helper()
	s.hnctl("template", "push", s.small("load", func(c *v1.ConfigFile) {
		c.Config.Entrypoint = []string{"sh", "-c", loaded}
		c.Config.Labels = map[string]string{host.LabelStopAfter: "1"}
	}))
	s.listed("load")
}

// loadLayer is a layer of nodes of the template load.
func loadLayer(name string, nodes, dynamic int, env string) string {
	return fmt.Sprintf("  - {name: %s, template: load, nodes: %d, cloudlets: {reserved: 1, dynamic: %d}, diskMiB: 64, env: {%s}}\n", name,
		nodes, dynamic, env)
}

// createLoad makes an environment of such layers.
func (s story) createLoad(name string, layers []string, flags ...string) {
	s.Helper()
	path := filepath.Join(s.TempDir(), name+".yaml")
	if err := os.WriteFile(path, []byte("version: 1\nname: "+name+"\nlayers:\n"+strings.Join(layers, "")), 0o600); err != nil {
		s.Fatal(err)
	}
	s.hnctl(append([]string{"env", "create", "-f", path}, flags...)...)
}

// enableMetering gives the cluster metering, and waits until it answers.
func (s story) enableMetering() {
	s.Helper()
	s.hnctl("usage", "enable")
	begin := time.Now()
	if _, err := s.WaitEnv(s.Context(), "jelastic", patience(), func(e operator.Environment) bool {
		return running(e) && slices.ContainsFunc(e.Nodes, func(n operator.Node) bool { return n.Component == "metering" })
	}); err != nil {
		s.Fatal(err)
	}
	s.until("metering answers", func() bool { _, err := s.HNCTL(s.Context(), "usage", "show"); return err == nil })
	s.figure("metering answers %.1f s after it was enabled", time.Since(begin).Seconds())
}

// minutes are a node's records of minutes; none where nobody answers.
func (s story) minutes(n operator.Node) (list []usage.Record) {
	s.Helper()
	if err := s.Get(s.Context(), &list, "node", "usage", n.CTID.String(), "--since", "12h"); err != nil {
		s.Log(err)
	}
	return list
}

// readAgain has metering started anew: it reads all hosts then, up to the minute that is open.
func (s story) readAgain() {
	s.Helper()
	killed := s.clock(s.Infra)
	s.ask(s.Infra, ask.Request{What: "kill", Path: "/metering"})
	s.until("all hosts were read after that", func() bool {
		var got operator.Usage
		// The clock that was read may be a second behind.
		return s.Get(s.Context(), &got, "usage", "show") == nil && got.Until.After(killed.Add(time.Second-time.Minute))
	})
}

// metered: metering is enabled, runs beside the other components, and tells what an account's environment used; the account sees that, and
// nothing of others.
func metered(s story) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		s.Skip("HARDNODE_SOAK is not set: a minute's record is waited for, and one more component runs from then on")
	}
	s.hnctl("account", "create", "payer", "--contact", "payer@example.com")
	config := s.TempDir()
	if err := os.CopyFS(config, os.DirFS(filepath.Dir(s.TokenFile()))); err != nil {
		s.Fatal(err)
	}
	token := s.hnctl("token", "create", "own", "--account", "payer", "--scope", "read", "--scope", "write")
	if err := os.WriteFile(filepath.Join(config, filepath.Base(s.TokenFile())), []byte(token), 0o600); err != nil {
		s.Fatal(err)
	}
	s.pushLoad()
	s.createLoad("metered", []string{loadLayer("cp", 1, 2, "HOLD: '30000000', LOAD: burn")}, "--config", config)
	defer s.delete("metered")
	n := s.settled("metered").Nodes[0]
	s.enableMetering()
	var kept []usage.Record
	s.until("its host has a minute's record", func() bool { kept = s.minutes(n); return len(kept) > 0 && kept[0].RAMPeak > 0 })
	s.readAgain()

	var all, own operator.Usage
	s.document(&all, "usage", "show")
	s.document(&own, "usage", "show", "--config", config)
	i := slices.IndexFunc(all.Items, func(r operator.UsageRow) bool { return r.Environment == "metered" })
	if i < 0 || !slices.ContainsFunc(all.Items, func(r operator.UsageRow) bool { return r.Environment == "hello" }) {
		s.Fatalf("who runs the cluster is shown %+v, want metered and hello", all)
	}
	r := all.Items[i]
	s.figure("metering: an environment used %.1f s of CPU time and %d MiB at most: %d cloudlet-hours", r.CPUSeconds, r.RAMPeak>>20,
		r.CloudletHours)
	if r.Account != "payer" || r.CPUSeconds < cpuSeconds(kept) || r.CPUSeconds == 0 || r.RAMPeak < 30e6 || r.PeakNode != n.CTID ||
		r.CloudletHours < 1 {
		s.Errorf("it used %+v; its host counted %+v", r, kept)
	}
	if len(own.Items) == 0 || slices.ContainsFunc(own.Items, func(r operator.UsageRow) bool { return r.Account != "payer" }) {
		s.Errorf("the account is shown %+v, want what is its own", own)
	}
	s.refused([]string{"next:"}, "usage", "show", "--by", "host", "--config", config)
	s.refused([]string{"next:"}, "usage", "show", "--account", "admin", "--config", config)
}

// cpuSeconds is the CPU time of records.
func cpuSeconds(list []usage.Record) (n float64) {
	for _, r := range list {
		n += float64(r.CPUMicros) / 1e6
	}
	return n
}

// TestMetering has eight containers under mixed load on two hosts for ten minutes, with orchestrator and metering off for five of them, and
// compares what metering says then with what the kernel counts, and with what hosts have kept: part of `make soak`. Before the end the load
// stops, so that no part of a minute is in one count and not in the other; containers are new, so that both begin at nothing.
func TestMetering(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set")
	}
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: harness.Dir(t), Hosts: 2, Bare: true, Probe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	s := story{t, c}
	if err := c.WaitRegistry(t.Context(), patience()); err != nil {
		t.Fatal(err)
	}
	s.pushLoad()
	s.enableMetering()
	s.createLoad("mixed", []string{loadLayer("burn", 2, 2, "LOAD: burn"), loadLayer("hold", 2, 3, "HOLD: '150000000'"),
		loadLayer("write", 2, 2, "LOAD: write"), loadLayer("idle", 2, 1, "HOLD: ''")})
	nodes := s.settled("mixed").Nodes
	for _, m := range s.Hosts {
		if len(on(m, operator.Environment{Nodes: nodes})) != 4 {
			t.Fatalf("nodes are %+v, want four on %s", nodes, m.Name)
		}
	}

	run.Wait(t.Context(), meteredOn)
	parts, were := []string{"/orchestrator", "/metering"}, map[string][]int{}
	for _, part := range parts {
		were[part] = s.ask(s.Infra, ask.Request{What: "kill", Path: part, Signal: sigStop}).Killed
	}
	run.Wait(t.Context(), meteredOff)
	for _, part := range parts { // they begin anew
		if now := s.ask(s.Infra, ask.Request{What: "kill", Path: part}).Killed; !slices.Equal(now, were[part]) {
			t.Errorf("%s was not off all the time: process %v was stopped, %v is there", part, were[part], now)
		}
	}
	if err := c.WaitAPI(t.Context(), patience()); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Hosts {
		if _, err := c.WaitHost(t.Context(), m.Name, patience(), isActive); err != nil {
			t.Fatal(err)
		}
	}
	run.Wait(t.Context(), meteredOn)
	for _, n := range nodes {
		s.until("the load of node "+n.CTID.String()+" is told to stop", func() bool {
			_, err := s.HNCTL(t.Context(), "node", "exec", n.CTID.String(), "--", "touch", "/tmp/quiet")
			return err == nil
		})
	}
	s.quieted(nodes)
	s.readAgain()
	s.compared(nodes)
}

// quieted waits until no container uses anything, and hosts have written the minute in which that began.
func (s story) quieted(nodes []operator.Node) {
	s.Helper()
	for _, n := range nodes {
		m := s.Machine(n.HostName)
		last := s.kernelUse(m, n)
		s.until("node "+n.CTID.String()+" uses nothing", func() bool {
			was := last
			run.Wait(s.Context(), 3*time.Second)
			last = s.kernelUse(m, n)
			return last == was
		})
	}
	for _, n := range nodes {
		quiet := s.clock(s.Machine(n.HostName)).Unix() + 2 // the clock's second, and the record's
		s.until("the minute of node "+n.CTID.String()+" is kept", func() bool {
			list := s.minutes(n)
			return len(list) > 0 && list[len(list)-1].End >= quiet
		})
	}
}

// kernelUsed is what the kernel counts of a container (Documentation/admin-guide/cgroup-v2.rst).
type kernelUsed struct{ cpu, read, written int64 } // µs, bytes

func (s story) kernelUse(m *cluster.Machine, n operator.Node) kernelUsed {
	s.Helper()
	return kernelUsed{s.cgroup(m, n, "cpu.stat", `(?m)^usage_usec (\d+)`), s.cgroup(m, n, "io.stat", `rbytes=(\d+)`),
		s.cgroup(m, n, "io.stat", `wbytes=(\d+)`)}
}

// kernelRAM is the memory of a container that counts, in bytes.
func (s story) kernelRAM(m *cluster.Machine, n operator.Node) int64 {
	s.Helper()
	return s.cgroup(m, n, "memory.stat", `(?m)^(?:anon|shmem|kernel) (\d+)`)
}

// cgroup is the sum of the numbers that a pattern finds in a file of a container's cgroup.
func (s story) cgroup(m *cluster.Machine, n operator.Node, file, pattern string) (sum int64) {
	s.Helper()
	text := s.ask(m, ask.Request{What: "read", Path: "/sys/fs/cgroup/ct/" + n.CTID.String() + "/" + file}).Text
	for _, g := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		v, err := strconv.ParseInt(g[1], 10, 64)
		if err != nil {
			s.Fatal(err)
		}
		sum += v
	}
	return sum
}

// compared: what metering says of each node is what the kernel counts, and to the unit what its host has kept; every minute is in it, and
// every hour has a row.
func (s story) compared(nodes []operator.Node) {
	s.Helper()
	var whole, hours operator.Usage
	s.document(&whole, "usage", "show", "mixed", "--by", "node", "--span", "all")
	s.document(&hours, "usage", "show", "mixed", "--by", "node", "--span", "hour")
	if len(whole.Items) != len(nodes) || len(whole.Notes)+len(hours.Notes) > 0 {
		s.Fatalf("metering has %+v, want a row for each of %d nodes, and nothing that is lacking", whole, len(nodes))
	}
	for _, r := range whole.Items {
		i := slices.IndexFunc(nodes, func(n operator.Node) bool { return n.CTID == r.Node })
		if i < 0 {
			s.Fatalf("a row is of node %d, which is none of %+v", r.Node, nodes)
		}
		n, m := nodes[i], s.Machine(nodes[i].HostName)
		k, ram, kept := s.kernelUse(m, n), s.kernelRAM(m, n), s.minutes(n)
		var sum usage.Record
		begun := map[int64]bool{} // hours
		for _, rec := range kept {
			sum = sum.Add(rec)
			for at := float64(rec.End) - rec.Seconds; at < float64(rec.End); at++ {
				begun[int64(at)/3600*3600] = true
			}
		}
		s.figure("metering: %-5s on %s: CPU %.3f s, kernel %.3f s (%+.3f %%); RAM %.1f MiB, kernel at the end %.1f MiB; written %.2f MiB, "+
			"kernel %.2f MiB; %d minutes of %.0f s in all; %d cloudlet-hours", n.Layer, n.HostName, r.CPUSeconds, float64(k.cpu)/1e6,
			100*off(r.CPUSeconds, float64(k.cpu)/1e6), mib(r.RAMPeak), mib(ram), mib(r.Written), mib(k.written), len(kept),
			sum.Seconds, r.CloudletHours)
		if math.Abs(off(r.CPUSeconds, float64(k.cpu)/1e6)) > meteredBar {
			s.Errorf("node %s used %.3f s of CPU time by metering, %.3f s by the kernel", n.CTID, r.CPUSeconds, float64(k.cpu)/1e6)
		}
		if max(math.Abs(off(float64(r.Written), float64(k.written))), math.Abs(off(float64(r.Read), float64(k.read)))) > meteredBar {
			s.Errorf("node %s read %d and wrote %d by metering, %d and %d by the kernel", n.CTID, r.Read, r.Written, k.read, k.written)
		}
		if n.Layer == "hold" && math.Abs(off(float64(r.RAMPeak), float64(ram))) > meteredBar {
			s.Errorf("node %s had %d bytes by metering, %d by the kernel", n.CTID, r.RAMPeak, ram)
		}
		if math.Abs(r.CPUSeconds-float64(sum.CPUMicros)/1e6) > 1e-6 || r.Read != sum.Read || r.Written != sum.Written ||
			r.NetIn != sum.NetIn || r.NetOut != sum.NetOut || r.RAMPeak != sum.RAMPeak {
			s.Errorf("metering has %+v of node %s, its host kept %+v: nothing may be lost or counted twice", r, n.CTID, sum)
		}
		if want := 2*meteredOn + meteredOff; sum.Seconds < want.Seconds() {
			s.Errorf("node %s has records of %.0f s, and ran for more than %v", n.CTID, sum.Seconds, want)
		}
		rows, cpu := map[int64]bool{}, 0.0
		for _, h := range hours.Items {
			if h.Node == r.Node {
				rows[h.Start.Unix()], cpu = true, cpu+h.CPUSeconds
			}
		}
		if !maps.Equal(rows, begun) || math.Abs(cpu-r.CPUSeconds) > 1e-3 {
			s.Errorf("node %s has rows for the hours %v with %.3f s, and ran in %v with %.3f s", n.CTID, rows, cpu, begun, r.CPUSeconds)
		}
	}
}

// off is how much more than the other a count is, as a part of that.
func off(got, want float64) float64 {
	if got == want {
		return 0
	}
	return (got - want) / want
}
