package service

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"hardnode.dev/internal/wire/jem"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args string
		want call
		err  string
	}{
		{"", call{"", 100}, ""},
		{"nginx", call{"nginx", 100}, ""},
		{"nginx --tail 5", call{"nginx", 5}, ""},
		{"--tail 5 getty@tty1.service", call{"getty@tty1.service", 5}, ""},
		{"--tail 0", call{}, "is no number of lines"},
		{"--tail 10001", call{}, "is no number of lines"},
		{"--tail", call{}, "is not known"},
		{"-M host", call{}, "is not known"},
		{"a b", call{}, "one unit is enough"},
		{"a;b", call{}, "is no unit name"},
		{"../x", call{}, "is no unit name"},
	} {
		got, err := parse(strings.Fields(c.args))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: got %+v %v, want %+v %q", c.args, got, err, c.want, c.err)
		}
	}
}

func TestProcesses(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	proc := fstest.MapFS{
		"1/status":   file("Name:\tnginx\nState:\tS (sleeping)\nVmRSS:\t    2048 kB\n"),
		"1/cmdline":  file("nginx: master\x00-g\x00daemon off;\x00"),
		"12/status":  file("Name:\tnginx\nState:\tR (running)\n"),
		"12/cmdline": file(""),
		"30/status":  file("Name:\tjem\n"),
		"self/stat":  file("30 (jem) R"),
		"sys/x":      file(""),
		"7/cmdline":  file("gone"),
	}
	got, err := processes(proc, "")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(got)
	want := `[{"name":"nginx","state":"active","sub":"S","description":"nginx: master -g daemon off;","pid":1,"memoryBytes":2097152},{"name":"nginx","state":"active","sub":"R","pid":12}]`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if got, _ := processes(proc, "redis"); len(got) != 0 {
		t.Errorf("redis: got %+v", got)
	}
}

func TestInitOf(t *testing.T) {
	root := t.TempDir()
	if got := InitOf(root); got != jem.InitApp {
		t.Errorf("empty root: %s", got)
	}
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := InitOf(root); got != jem.InitSystemd {
		t.Errorf("with /run/systemd/system: %s", got)
	}
}

func TestProperties(t *testing.T) {
	var s jem.Service
	properties(&s, map[string]any{"MainPID": uint32(7), "MemoryCurrent": ^uint64(0), "NRestarts": uint32(2),
		"ActiveEnterTimestamp": uint64(1_000_000)})
	if s.PID != 7 || s.MemoryBytes != 0 || s.Restarts != 2 || !s.Since.Equal(time.Unix(1, 0)) {
		t.Errorf("got %+v", s)
	}
}

func TestJournalLines(t *testing.T) {
	in := `{"__REALTIME_TIMESTAMP":"1000000","_SYSTEMD_UNIT":"a.service","PRIORITY":"3","MESSAGE":"bad"}
{"__REALTIME_TIMESTAMP":"2000000","MESSAGE":[104,105,255]}
{"__REALTIME_TIMESTAMP":"x","MESSAGE":"no time"}
not json
{"__REALTIME_TIMESTAMP":"3000000","PRIORITY":"9","MESSAGE":null}
`
	got, err := journalLines(strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(got)
	want := `[{"time":"1970-01-01T00:00:01Z","unit":"a.service","priority":3,"text":"bad"},{"time":"1970-01-01T00:00:02Z","priority":6,"text":"hi` + "\uFFFD" + `"},{"time":"1970-01-01T00:00:03Z","priority":6,"text":""}]`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestJournalIsBounded(t *testing.T) {
	line := `{"__REALTIME_TIMESTAMP":"1000000","MESSAGE":"` + strings.Repeat("x", 10000) + `"}` + "\n"
	got, err := journalLines(strings.NewReader(strings.Repeat(line, 1000)))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(jem.Reply{Version: 1, Init: jem.InitSystemd, Lines: got})
	if _, err := jem.Decode(b); err != nil || len(got) < 50 {
		t.Errorf("%d lines: %v", len(got), err)
	}
}
