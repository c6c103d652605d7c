package ledger

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/usage"
)

// ten is the begin of an hour.
const ten = int64(1_700_000_000) / 3600 * 3600

func open(t *testing.T) *Ledger {
	l, err := Open(t.Context(), filepath.Join(t.TempDir(), "usage.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func minute(revision wire.Revision, id wire.CTID, of wire.Account, env wire.EnvName) usage.Record {
	return usage.Record{CTID: id, Revision: revision, Account: of, Env: env, End: ten + 60*int64(revision), Seconds: 60,
		CPUMicros: 1_000_000, RAMMean: 1 << 20, RAMPeak: 200 << 20, RAMPeakAt: ten + 60*int64(revision) - 5}
}

func (l *Ledger) take(t *testing.T, h wire.HostID, from, to wire.Revision, list ...usage.Record) {
	t.Helper()
	refused, err := l.Take(t.Context(), Reading{Host: h, Book: "b", From: from, To: to, Step: usage.Minute, Records: list,
		At: time.Unix(ten, 0)})
	if err != nil || len(refused) != 0 {
		t.Fatal(refused, err)
	}
}

// TestTwice: a reading that does not follow the one before is not counted.
func TestTwice(t *testing.T) {
	l := open(t)
	l.take(t, "h-1", 0, 3, minute(3, 101, "alice", "shop"))
	for name, in := range map[string]Reading{"again": {From: 0, To: 3}, "left out": {From: 4, To: 5}, "back": {From: 3, To: 2}} {
		in.Host, in.Book, in.Step = "h-1", "b", usage.Minute
		in.Records = []usage.Record{minute(3, 101, "alice", "shop")}
		if _, err := l.Take(t.Context(), in); err == nil || !strings.Contains(err.Error(), "is not what follows") {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Take(gone, Reading{Host: "h-1", Book: "b", From: 3, To: 4}); err == nil {
		t.Error("it was taken all the same")
	}
	out, err := l.Use(t.Context(), metering.Question{From: ten, To: ten + 3600, Step: "all", By: operator.ByAccount}, time.Now())
	if err != nil || len(out.Items) != 1 || out.Items[0].CPUSeconds != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	if book, at, err := l.Book(t.Context(), "h-1"); book != "b" || at != 3 || err != nil {
		t.Errorf("%q, %d, %v", book, at, err)
	}
}

// TestUse: a question is about what it names alone.
func TestUse(t *testing.T) {
	l := open(t)
	if err := l.Hosts(t.Context(), []metering.Host{{ID: "h-1", Name: "one"}, {ID: "h-2", Name: "two"}}); err != nil {
		t.Fatal(err)
	}
	l.take(t, "h-1", 0, 70, minute(1, 101, "alice", "shop"), minute(1, 102, "bob", "blog"), minute(70, 101, "alice", "shop"))
	l.take(t, "h-2", 0, 1, minute(1, 103, "alice", "forum"))
	for name, c := range map[string]struct {
		q    metering.Question
		want string
	}{
		"all":         {metering.Question{By: operator.ByNode}, "103 101 102"},
		"account":     {metering.Question{By: operator.ByNode, Account: "alice"}, "103 101"},
		"another":     {metering.Question{By: operator.ByNode, Account: "eve"}, ""},
		"environment": {metering.Question{By: operator.ByNode, Envs: []wire.EnvName{"blog", "forum"}}, "103 102"},
		"hers":        {metering.Question{By: operator.ByNode, Account: "alice", Envs: []wire.EnvName{"blog"}}, ""},
		"host":        {metering.Question{By: operator.ByNode, Host: "h-2"}, "103"},
		"node":        {metering.Question{By: operator.ByNode, Node: 102}, "102"},
		"later":       {metering.Question{By: operator.ByNode, From: ten + 3600}, "101"},
		"names":       {metering.Question{By: operator.ByHost}, "one two"},
	} {
		c.q.From, c.q.To, c.q.Step = max(c.q.From, ten), ten+7200, operator.SpanAll
		out, err := l.Use(t.Context(), c.q, time.Unix(ten, 0))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range out.Items {
			if got = append(got, r.Host); r.Host == "" {
				got[len(got)-1] = r.Node.String()
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %q", name, got, c.want)
		}
	}
	var p *operator.Problem
	if _, err := l.Use(t.Context(), metering.Question{}, time.Now()); !errors.As(err, &p) || p.Code != operator.Invalid {
		t.Errorf("%v", err)
	}
	if err := l.Forget(t.Context(), time.Unix(ten, 0).Add(keep+time.Hour)); err != nil {
		t.Fatal(err)
	}
	out, err := l.Use(t.Context(), metering.Question{From: ten, To: ten + 7200, Step: "hour", By: operator.ByNode}, time.Now())
	if err != nil || len(out.Items) != 1 || out.Items[0].Start.Unix() != ten+3600 {
		t.Errorf("after a year: %+v, %v", out, err)
	}
}

// TestLong: an answer is bounded.
func TestLong(t *testing.T) {
	l := open(t)
	l.most = 10
	var list []usage.Record
	for i := range l.most + 1 {
		list = append(list, minute(1, wire.CTID(100+i), "alice", "shop"))
	}
	l.take(t, "h-1", 0, 1, list...)
	q := metering.Question{From: ten, To: ten + 3600, Step: operator.SpanHour, By: operator.ByNode}
	var p *operator.Problem
	if _, err := l.Use(t.Context(), q, time.Now()); !errors.As(err, &p) || p.Code != operator.Exhausted {
		t.Errorf("%v", err)
	}
	q.By = operator.ByEnvironment
	if out, err := l.Use(t.Context(), q, time.Now()); err != nil || len(out.Items) != 1 || out.Items[0].CloudletHours != 22 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage ?.db")
	l, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if l, err = Open(t.Context(), path); err != nil { // once more: nothing is upgraded
		t.Fatal(err)
	}
	if err := l.tx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("PRAGMA user_version = 99")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer than this program's") {
		t.Errorf("a newer one: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad.db")
	if err := os.WriteFile(bad, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), bad); err == nil {
		t.Error("a damaged one was opened")
	}
}
