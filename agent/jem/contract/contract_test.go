package contract

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/jem"
)

// recorded is a module whose steps write down that they were done; a step fails if it is named in the arguments.
func recorded(did *[]string, a Action) []Module {
	a.Name = "act"
	a.Begin = func(c *Call) (Steps, error) {
		step := func(name string) func(context.Context) error {
			return func(ctx context.Context) error {
				*did = append(*did, name)
				for _, arg := range c.Args {
					switch arg {
					case name:
						return errors.New(name + " went wrong")
					case "slow " + name:
						<-ctx.Done()
						return ctx.Err()
					}
				}
				c.Done("all done")
				return nil
			}
		}
		for _, arg := range c.Args {
			if arg == "bad" {
				return Steps{}, Invalid("argument %q: is bad", arg)
			}
		}
		return Steps{Pre: step("pre"), Do: step("do"), Post: step("post"), Undo: step("undo"),
			Cleanup: func() { *did = append(*did, "cleanup") }}, nil
	}
	return []Module{{Name: "m", Actions: []Action{a}}}
}

func TestServe(t *testing.T) {
	for _, c := range []struct {
		argv   string
		action Action
		told   jem.Told
		did    string
		status int
		code   string
		reason string
	}{
		{"m act", Action{}, jem.Told{}, "pre do post cleanup", 0, "ok", ""},
		{"m act --json", Action{}, jem.Told{}, "pre do post cleanup", 0, "ok", ""},
		{"m act", Action{Reads: true}, jem.Told{DiskUsed: 100 << 20, DiskLimit: 100 << 20}, "pre do post cleanup", 0, "ok", ""},
		{"m act", Action{Frees: true}, jem.Told{DiskUsed: 100 << 20, DiskLimit: 100 << 20}, "pre do post cleanup", 0, "ok", ""},
		{"m act", Action{}, jem.Told{DiskUsed: 97 << 20, DiskLimit: 100 << 20}, "", 1, "exhausted", "97 of this container's 100 MiB"},
		{"m act bad", Action{}, jem.Told{}, "", 2, "invalid", "is bad"},
		{"m act pre", Action{}, jem.Told{}, "pre cleanup", 1, "internal", "pre went wrong"},
		{"m act do", Action{}, jem.Told{}, "pre do undo cleanup", 1, "internal", "do went wrong; what was done is taken back"},
		{"m act post", Action{}, jem.Told{}, "pre do post undo cleanup", 1, "internal", "post went wrong; what was done is taken back"},
		{"m act post undo", Action{}, jem.Told{}, "pre do post undo cleanup", 1, "internal", "could not be taken back: undo went wrong"},
		{"m act slow-do", Action{Limit: time.Millisecond}, jem.Told{}, "pre do undo cleanup", 1, "unavailable",
			"m act did not end within 1ms"},
		{"m act", Action{Lacks: func(string) string { return "nginx" }}, jem.Told{}, "", 1, "unavailable", "this container has no nginx"},
		{"m other", Action{}, jem.Told{}, "", 2, "invalid", `module m has no action "other"`},
		{"m ACT", Action{}, jem.Told{}, "", 2, "invalid", `has no action "ACT"`},
		{"x act", Action{}, jem.Told{}, "", 2, "invalid", `no module "x"`},
		{"m", Action{}, jem.Told{}, "", 2, "invalid", "a module and an action are needed"},
		{"", Action{}, jem.Told{}, "", 2, "invalid", "a module and an action are needed"},
		{"list", Action{}, jem.Told{}, "", 0, "ok", ""},
	} {
		var did []string
		call := &Call{Root: t.TempDir(), Told: c.told, Now: time.Now}
		var argv []string
		for _, a := range strings.Fields(c.argv) {
			argv = append(argv, strings.ReplaceAll(a, "slow-", "slow "))
		}
		status := Serve(t.Context(), recorded(&did, c.action), argv, call)
		r := call.Reply
		if strings.Join(did, " ") != c.did || status != c.status || r.Code != c.code || r.Error == nil != (c.reason == "") ||
			r.Error != nil && (!strings.Contains(r.Error.Reason, c.reason) || r.Message != r.Error.Reason) {
			t.Errorf("%q: did %v, status %d, %+v %v", c.argv, did, status, r, r.Error)
		}
	}
}

func TestKeys(t *testing.T) {
	root, now := t.TempDir(), time.Now()
	var did []string
	call := func(key string, args ...string) jem.Reply {
		t.Helper()
		c := &Call{Root: root, Told: jem.Told{Key: key}, Now: func() time.Time { return now }}
		did = nil
		Serve(t.Context(), recorded(&did, Action{}), append([]string{"m", "act"}, args...), c)
		return c.Reply
	}
	if r := call("k"); r.Again || len(did) == 0 {
		t.Errorf("first: %+v %v", r, did)
	}
	if r := call("k"); !r.Again || len(did) != 0 || r.Message != "all done" || r.Code != "ok" {
		t.Errorf("again: %+v %v", r, did)
	}
	if r := call("k", "x"); r.Code != "conflict" || len(did) != 0 {
		t.Errorf("another call: %+v %v", r, did)
	}
	if r := call("k2", "do"); r.Code != "internal" {
		t.Errorf("a failure: %+v", r)
	}
	if r := call("k2", "do"); r.Again || len(did) == 0 {
		t.Errorf("a failure is tried again: %+v %v", r, did)
	}
	for i := range maxAnswers + 20 {
		call(fmt.Sprint("many", i))
	}
	if list, _ := os.ReadDir(filepath.Join(root, StateDir, "answers")); len(list) > maxAnswers {
		t.Errorf("%d answers are kept", len(list))
	}
	now = now.Add(answersFor + time.Second)
	if r := call("k"); r.Again || len(did) == 0 {
		t.Errorf("a day later: %+v %v", r, did)
	}
}

// TestSpoiledAnswer: what is in the container may be anything.
func TestSpoiledAnswer(t *testing.T) {
	for _, text := range []string{"", "{", `{"call":"x","when":"2999-01-01T00:00:00Z"}`} {
		c := &Call{Root: t.TempDir(), Told: jem.Told{Key: "k"}, Now: time.Now}
		os.MkdirAll(filepath.Dir(c.answerPath()), 0o700)
		os.WriteFile(c.answerPath(), []byte(text), 0o600)
		var did []string
		Serve(t.Context(), recorded(&did, Action{}), []string{"m", "act"}, c)
		if c.Reply.Again {
			t.Errorf("%q was taken for an answer", text)
		}
	}
}

func TestQueue(t *testing.T) {
	root := t.TempDir()
	first := &Call{Root: root, Now: time.Now}
	place, err := first.queue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	for range places - 1 {
		go func() {
			for {
				_, err := (&Call{Root: root, Now: time.Now}).queue(ctx)
				if ctx.Err() != nil {
					ended <- err
					return
				}
			}
		}()
	}
	var e *jem.Error
	for try := time.Now(); ; {
		short, stop := context.WithTimeout(t.Context(), time.Millisecond) // until all have their places, this one gets one too
		_, err := (&Call{Root: root, Now: time.Now}).queue(short)
		stop()
		if !errors.As(err, &e) {
			t.Fatalf("the turn was given twice: %v", err)
		}
		if e.Code == "exhausted" {
			break
		}
		if time.Since(try) > time.Minute {
			t.Fatal(err)
		}
	}
	cancel()
	for range places - 1 {
		if err := <-ended; !errors.As(err, &e) || e.Code != "unavailable" && e.Code != "exhausted" {
			t.Errorf("a call that waited: %v", err)
		}
	}
	place.Close()
	second, err := (&Call{Root: root, Now: time.Now}).queue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	ro := filepath.Join(root, "file")
	os.WriteFile(ro, nil, 0o600)
	if _, err := (&Call{Root: ro, Now: time.Now}).queue(t.Context()); !errors.As(err, &e) || e.Code != "unavailable" {
		t.Errorf("no place for state: %v", err)
	}
}

func TestHooks(t *testing.T) {
	for _, c := range []struct {
		hooks map[string]string
		did   string
		said  string
		code  string
	}{
		{map[string]string{"m.pre": "echo $JEM_MODULE $JEM_ACTION $JEM_WHEN"}, "pre do post cleanup", "m act pre\n", "ok"},
		{map[string]string{"m-act.post": "echo of the action", "m.post": "echo of the module"}, "pre do post cleanup", "of the action\n",
			"ok"},
		{map[string]string{"m.pre": "echo no; exit 1"}, "cleanup", "no\n", "unavailable"},
		{map[string]string{"m.post": "exit 1"}, "pre do post undo cleanup", "", "unavailable"},
	} {
		root := t.TempDir()
		dir := filepath.Join(root, "etc/jem/hooks")
		os.MkdirAll(dir, 0o755)
		if os.Geteuid() == 0 { // hooks run as nobody
			for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
				os.Chmod(d, 0o755)
			}
		}
		for name, script := range c.hooks {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var did []string
		call := &Call{Root: root, Now: time.Now}
		Serve(t.Context(), recorded(&did, Action{}), []string{"m", "act"}, call)
		if strings.Join(did, " ") != c.did || call.Reply.Said != c.said || call.Reply.Code != c.code {
			t.Errorf("%v: did %v, %+v %v", c.hooks, did, call.Reply, call.Reply.Error)
		}
	}
}

func TestSaidIsBounded(t *testing.T) {
	c := &Call{}
	for range 10 {
		c.Said(strings.Repeat("ä", maxSaid/3))
	}
	if len(c.Reply.Said) > maxSaid+8 || !strings.HasPrefix(c.Reply.Said, "[…]ä") {
		t.Errorf("%d bytes: %.20q", len(c.Reply.Said), c.Reply.Said)
	}
}

func TestList(t *testing.T) {
	c := &Call{Root: "/", Now: time.Now}
	var did []string
	Serve(t.Context(), recorded(&did, Action{Args: "X", Help: "acts", Lacks: func(string) string { return "nginx" }}), []string{"list"}, c)
	want := map[string]string{"module": "m", "action": "act", "arguments": "X", "lacks": "nginx", "does": "acts"}
	if len(c.Reply.Items) != 1 || fmt.Sprint(c.Reply.Items[0]) != fmt.Sprint(want) || c.Reply.Message != "0 of 1 actions can be done here" {
		t.Errorf("%+v", c.Reply)
	}
}

// TestMendSpoiled: what a call that was cut off kept and that is not whole counts for nothing, and leads nowhere else.
func TestMendSpoiled(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, StateDir, "cut")
	outside := filepath.Join(t.TempDir(), "x")
	for name, text := range map[string]string{".jem-1": `{"path":"a"}`, "0001.json": `{"path":"a`,
		"0002.json": `{"path":"../../` + outside + `"}`,
		"0003.json": `{"path":"b","there":true,"text":"aGk=","mode":384}`} {
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Call{Root: root}
	if err := c.mend(); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(dir)
	b, err := os.ReadFile(filepath.Join(root, "b"))
	if _, oerr := os.Stat(outside); string(b) != "hi" || err != nil || oerr != nil || len(left) != 0 ||
		!strings.Contains(c.Reply.Said, "/b is as it was") {
		t.Errorf("%q, %v, %v, %v, %q", b, err, oerr, left, c.Reply.Said)
	}
}
