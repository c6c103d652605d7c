package service

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"hardnode.dev/internal/wire/jem"
)

// units asks systemd for one unit, or for all loaded services.
func units(ctx context.Context, name string) ([]jem.Service, error) {
	c, err := dbus.NewSystemdConnectionContext(ctx) // the private socket needs no bus daemon
	if err != nil {
		return nil, &jem.Error{Code: "unavailable", Reason: "systemd does not answer: " + err.Error(),
			Next: "try again when the container has started"}
	}
	defer c.Close()
	var found []dbus.UnitStatus
	if name == "" {
		found, err = c.ListUnitsByPatternsContext(ctx, nil, []string{"*.service"})
	} else {
		found, err = c.ListUnitsByNamesContext(ctx, []string{name})
	}
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	var list []jem.Service
	for _, u := range found {
		if u.LoadState == "not-found" {
			continue
		}
		s := jem.Service{Name: u.Name, State: jem.State(u.ActiveState), Sub: u.SubState, Description: u.Description}
		if p, err := c.GetAllPropertiesContext(ctx, u.Name); err == nil {
			properties(&s, p)
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b jem.Service) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Failed are the names of units of systemd that have failed.
func Failed(ctx context.Context) (names []string, err error) {
	c, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("systemd does not answer: %v", err)
	}
	defer c.Close()
	found, err := c.ListUnitsByPatternsContext(ctx, []string{"failed"}, nil)
	for _, u := range found {
		names = append(names, u.Name)
	}
	return names, err
}

// properties takes over what org.freedesktop.systemd1 says of a unit; a number with all bits set means "none".
func properties(s *jem.Service, p map[string]any) {
	if v, ok := p["MainPID"].(uint32); ok {
		s.PID = int(v)
	}
	if v, ok := p["MemoryCurrent"].(uint64); ok && v < math.MaxInt64 {
		s.MemoryBytes = int64(v)
	}
	if v, ok := p["NRestarts"].(uint32); ok {
		s.Restarts = int(v)
	}
	if v, ok := p["ActiveEnterTimestamp"].(uint64); ok && v > 0 && v < math.MaxInt64 {
		s.Since = time.UnixMicro(int64(v)).UTC()
	}
}

// journal reads the last lines with the image's own journalctl: it knows the format its journald writes.
func journal(ctx context.Context, unit string, tail int) ([]jem.Line, error) {
	args := []string{"--no-pager", "--quiet", "--output=json", "--lines=" + strconv.Itoa(tail)}
	if unit != "" {
		args = append(args, "--unit="+unit)
	}
	cmd := exec.CommandContext(ctx, "journalctl", args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("run journalctl: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, &jem.Error{Code: "unavailable", Reason: "journalctl can't be run: " + err.Error(), Next: "use an image that has it"}
	}
	lines, rerr := journalLines(out)
	if err := cmd.Wait(); err != nil && rerr == nil {
		rerr = fmt.Errorf("run journalctl: %w", err)
	}
	return lines, rerr
}

// journalLines reads journalctl's JSON lines (systemd's journal-export-formats: values are strings, arrays of bytes when not UTF-8, or
// absent).
func journalLines(r io.Reader) ([]jem.Line, error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	var lines []jem.Line
	size := 0
	for s.Scan() {
		var e struct {
			Time     string          `json:"__REALTIME_TIMESTAMP"`
			Unit     string          `json:"_SYSTEMD_UNIT"`
			Priority string          `json:"PRIORITY"`
			Message  json.RawMessage `json:"MESSAGE"`
		}
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			continue
		}
		us, err := strconv.ParseInt(e.Time, 10, 64)
		if err != nil {
			continue
		}
		l := jem.Line{Time: time.UnixMicro(us).UTC(), Unit: e.Unit, Priority: 6, Text: message(e.Message)}
		if p, err := strconv.Atoi(e.Priority); err == nil && p >= 0 && p <= 7 {
			l.Priority = p
		}
		if size += len(l.Text) + 128; size > jem.MaxReply/2 { // leave room for JSON's escapes: the oldest lines go
			drop := len(lines) / 2
			for _, d := range lines[:drop] {
				size -= len(d.Text) + 128
			}
			lines = slices.Delete(lines, 0, drop)
		}
		lines = append(lines, l)
	}
	if err := s.Err(); err != nil {
		return lines, fmt.Errorf("read journal: %w", err)
	}
	return lines, nil
}

func message(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var numbers []int // not UTF-8
	if json.Unmarshal(raw, &numbers) == nil {
		b := make([]byte, len(numbers))
		for i, n := range numbers {
			b[i] = byte(n)
		}
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return ""
}
