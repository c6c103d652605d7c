package hostlog

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/kmsg"
	"hardnode.dev/internal/wire/host"
)

// records are those of one log in the ring of the kernel.
type records struct {
	log   *kmsg.Log
	unit  host.Unit // whose records: the kernel's own, those of init, or all
	began func() time.Time
	gap   bool
}

func openRecords(path string, unit host.Unit, began func() time.Time) (source, error) {
	l, err := kmsg.Open(path)
	if err != nil {
		return nil, err
	}
	return &records{log: l, unit: unit, began: began}, nil
}

func (k *records) close() { k.log.Close() }

func (k *records) more() (out []Line, err error) {
	began := k.began()
	err = k.log.Each(func(r kmsg.Record) {
		k.gap = k.gap || r.Gap
		text, ok := k.wanted(r)
		if !ok {
			return
		}
		at := began.Add(r.Since)
		if k.gap {
			k.gap = false
			out = append(out, Line{at, []byte("records before this were overwritten")})
		}
		out = append(out, Line{at, append(at.UTC().AppendFormat(nil, stamp), text...)})
	})
	return out, err
}

// stamp is how a line of this log begins.
const stamp = "2006-01-02T15:04:05.000000Z "

// initHead is how init begins its records; the lines of the programs it keeps have the program's name and a colon behind it.
const initHead = "hardnode: "

// wanted is the text of a record of this log, without init's head; ok is false for those of others.
func (k *records) wanted(r kmsg.Record) (text string, ok bool) {
	switch k.unit {
	case host.UnitDmesg:
		return r.Text, true
	case host.UnitKernel:
		return r.Text, r.Facility == 0
	}
	text, ok = strings.CutPrefix(r.Text, initHead)
	if r.Facility == 0 || !ok {
		return "", false
	}
	name, _, _ := strings.Cut(text, ": ")
	for _, u := range host.Units {
		if string(u) == name && u != host.UnitInit && u != host.UnitKernel {
			return "", false // a program's line: it is in the program's own log
		}
	}
	return text, true
}

// kernelBegan is when the kernel's clock was zero. Its log's clock stands still while the machine sleeps, as CLOCK_MONOTONIC does.
func kernelBegan() time.Time {
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &up) != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up.Nano()))
}
