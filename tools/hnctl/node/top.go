package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/nodecall"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

// used is what a node used between two samples.
type used struct {
	CTID       wire.CTID `json:"ctid"`
	CPUPercent float64   `json:"cpuPercent"` // of one processor
	ReadRate   int64     `json:"readRate"`   // bytes a second
	WriteRate  int64     `json:"writeRate"`
	NetInRate  int64     `json:"netInRate"`
	NetOutRate int64     `json:"netOutRate"`
	HeldBack   float64   `json:"heldBackPercent"` // of the time: by its CPU limit
	nodecall.Sample
	Processes []usedProcess `json:"processes"`
}

type usedProcess struct {
	CPUPercent float64 `json:"cpuPercent"`
	nodecall.Process
}

// between is what happened from one sample to the next.
func between(id wire.CTID, a, b nodecall.Sample) used {
	u := used{CTID: id, Sample: b, Processes: []usedProcess{}}
	s := b.At.Sub(a.At).Seconds()
	if s <= 0 {
		s = 1
	}
	rate := func(from, to int64) float64 { return float64(max(to-from, 0)) / s }
	percent := func(from, to int64) float64 { return float64(int64(rate(from, to)/1e4*10)) / 10 }
	u.CPUPercent = percent(a.CPUMicros, b.CPUMicros)
	u.ReadRate, u.WriteRate = int64(rate(a.Read, b.Read)), int64(rate(a.Written, b.Written))
	u.NetInRate, u.NetOutRate = int64(rate(a.NetIn, b.NetIn)), int64(rate(a.NetOut, b.NetOut))
	u.HeldBack = min(percent(1000*a.Strain.ThrottledMs, 1000*b.Strain.ThrottledMs), 100) // on several processors it may be more
	before := map[int]int64{}
	for _, p := range a.Processes {
		before[p.PID] = p.CPUMicros
	}
	for _, p := range b.Processes {
		up := usedProcess{Process: p}
		if from, ok := before[p.PID]; ok {
			up.CPUPercent = percent(from, p.CPUMicros)
		}
		u.Processes = append(u.Processes, up)
	}
	slices.SortStableFunc(u.Processes, func(a, b usedProcess) int { return cmp.Compare(b.CPUPercent, a.CPUPercent) })
	return u
}

func nodeTop(a *app.App) *cobra.Command {
	var once bool
	var every int
	c := &cobra.Command{
		Use: "top NODE…", Short: "What nodes use, and the processes of one", Args: cobra.MinimumNArgs(1),
		Long: "Shows what nodes use, anew every other second until Ctrl-C: processor in percent of one, memory, processes, reads and\n" +
			"writes, network; and what they lack: percent of the last minute in which some of a node waited for a processor, memory or\n" +
			"a disk, how much its CPU limit holds it back now, how many of its processes ran out of memory since its start. Of one\n" +
			"node, its processes too, whose names are their own choice. Without a terminal, and with -o, it shows it once.",
		Example: "  hnctl node top 101\n  hnctl node top 101 102 --once -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if every < 1 || every > nodecall.MaxEvery {
				return app.Usage(cmd, "--every %d: want 1 to %d seconds", every, nodecall.MaxEvery)
			}
			if len(args) > maxFollowed {
				return app.Usage(cmd, "%d nodes are too many at once, at most %d", len(args), maxFollowed)
			}
			ids, err := loggedNodes(cmd.Context(), a, args, logFlags{})
			if err != nil {
				return err
			}
			return top(cmd.Context(), a, ids, every, once || a.Output != "table" || !app.IsTerminal(a.Out))
		},
	}
	c.Flags().BoolVar(&once, "once", false, "show it once")
	c.Flags().IntVar(&every, "every", 2, "seconds between two looks")
	return c
}

// top holds a session in each node, and shows what all have used when each has told something new.
func top(ctx context.Context, a *app.App, nodes []logged, every int, once bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type news struct {
		id wire.CTID
		used
	}
	told, failed := make(chan news), make(chan error, len(nodes))
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	q := url.Values{"every": {strconv.Itoa(every)}}
	if once {
		q = url.Values{"every": {"1"}, "count": {"2"}}
	}
	for _, n := range nodes {
		var last nodecall.Sample
		out := &documents{each: func(raw []byte) error {
			var s nodecall.Sample
			if err := json.Unmarshal(raw, &s); err != nil {
				return fmt.Errorf("read what node %s uses: %v", n.id, err)
			}
			was := last
			if last = s; was.At.IsZero() {
				return nil
			}
			select {
			case told <- news{n.id, between(n.id, was, s)}:
			case <-ctx.Done():
			}
			return nil
		}}
		all.Go(func() { failed <- nodeSession(ctx, a, n.id, "top", q, session.IO{Out: out, Err: a.Talk}) })
	}
	have := map[wire.CTID]used{}
	for {
		select {
		case n := <-told:
			have[n.id] = n.used
		case err := <-failed:
			if err != nil || !once {
				return err
			}
			continue
		case <-ctx.Done():
			return nil
		}
		if len(have) < len(nodes) {
			continue
		}
		list := make([]used, 0, len(nodes))
		for _, n := range nodes {
			list = append(list, have[n.id])
		}
		if once {
			return a.Show(list, app.Joined(list, func(u used) string { return u.CTID.String() }), func(t *app.Table) { topTable(t, list) })
		}
		clear(have)
		fmt.Fprint(a.Out, "\x1b[H\x1b[J", time.Now().Format(time.TimeOnly), "\n")
		if err := a.Show(list, "", func(t *app.Table) { topTable(t, list) }); err != nil {
			return err
		}
	}
}

// most is how many processes a table has: a screen's worth.
const most = 20

func topTable(t *app.Table, list []used) {
	of := func(n, limit int64, unit func(int64) string) string {
		if limit == 0 {
			return unit(n)
		}
		return unit(n) + " of " + unit(limit)
	}
	t.Head("CTID", "CPU", "MEMORY", "PROCESSES", "READ", "WRITE", "NET IN", "NET OUT", "LACKS")
	for _, u := range list {
		t.Row(u.CTID, percentText(u.CPUPercent), of(u.Memory, u.MemoryMax, size), of(u.PIDs, u.PIDsMax, func(n int64) string {
			return strconv.FormatInt(n, 10)
		}), size(u.ReadRate)+"/s", size(u.WriteRate)+"/s", size(u.NetInRate)+"/s", size(u.NetOutRate)+"/s", u.lacks())
	}
	if len(list) > 1 {
		return
	}
	t.Gap()
	t.Head("PID", "CPU", "MEMORY", "USER", "STATE", "THREADS", "NAME")
	for i, p := range list[0].Processes {
		if i == most {
			t.Row(fmt.Sprintf("and %d more", len(list[0].Processes)-most+list[0].More))
			break
		}
		user := "-"
		if p.UID >= 0 {
			user = strconv.FormatInt(p.UID, 10)
		}
		t.Row(p.PID, percentText(p.CPUPercent), size(p.Memory), user, p.State, p.Threads, p.Name)
	}
}

// lacks says what a node waits for, and what its limits do to it now.
func (u used) lacks() string {
	s := u.Strain
	s.ThrottledMs = 0
	list := s.Words()
	if u.HeldBack > 0 {
		list = append(list, "held back "+percentText(u.HeldBack))
	}
	return cmp.Or(strings.Join(list, ", "), "-")
}

func percentText(p float64) string { return strconv.FormatFloat(p, 'f', 1, 64) + " %" }

// size is a number of bytes in the unit that says enough.
func size(n int64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", (n+1<<10-1)>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
	}
	return fmt.Sprintf("%d GiB", (n+1<<30-1)>>30)
}

// documents takes lines of a session as one document each.
type documents struct {
	rest []byte
	each func(line []byte) error
}

// maxDocument is the longest line taken, in bytes.
const maxDocument = 1 << 20

func (d *documents) Write(b []byte) (int, error) {
	d.rest = append(d.rest, b...)
	for {
		i := bytes.IndexByte(d.rest, '\n')
		if i < 0 {
			break
		}
		if err := d.each(d.rest[:i]); err != nil {
			return 0, err
		}
		d.rest = d.rest[i+1:]
	}
	if len(d.rest) > maxDocument {
		return 0, fmt.Errorf("a line of more than %d bytes came", maxDocument)
	}
	return len(b), nil
}
