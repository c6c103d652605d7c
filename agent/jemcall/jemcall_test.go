package jemcall

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// says is a container that writes this and ends with a code.
func says(out, errs string, code int) Exec {
	return func(_ context.Context, _ wire.CTID, _ host.ExecSpec, s command.Stdio) (host.Exit, error) {
		io.WriteString(s.Err, errs)
		_, err := io.WriteString(s.Out, out)
		if err != nil {
			code = 137
		}
		return host.Exit{Code: code}, nil
	}
}

func TestCarry(t *testing.T) {
	const ok = `{"version":1,"init":"app","code":"ok","message":"done"}`
	const bad = `{"version":1,"init":"app","code":"invalid","error":{"code":"invalid","reason":"no"}}`
	for name, c := range map[string]struct {
		exec Exec
		want string
		code int
		err  string
	}{
		"an answer":        {says(ok, "", 0), ok, 0, ""},
		"more is left out": {says(`{"version":1,"init":"app","code":"ok","message":"done","evil":"x"}`, "noise", 0), ok, 0, ""},
		"a refusal":        {says(bad, "", 2), bad, 2, ""},
		"ends":             {says(`{"version":1,"init":"app","ends":true}`, "", 137), `{"version":1,"init":"app","ends":true}`, 0, ""},
		"a lie":            {says(ok, "", 1), "", 0, "is not what it answered"},
		"another lie":      {says(bad, "", 0), "", 0, "is not what it answered"},
		"nothing":          {says("", "\x1b[2Jno", 1), "", 0, `without an answer: jem reply: it is empty; it wrote "\x1b[2Jno"`},
		"two":              {says(ok+ok, "", 0), "", 0, "without an answer"},
		"too much":         {says(strings.Repeat(" ", jem.MaxReply+1), "", 0), "", 0, "larger than it may be"},
		"much on stderr":   {says(ok, strings.Repeat("e", 1<<20), 0), ok, 0, ""},
		"nothing can be done": {func(context.Context, wire.CTID, host.ExecSpec, command.Stdio) (host.Exit, error) {
			return host.Exit{}, errors.New("it does not run")
		}, "", 0, "it does not run"},
	} {
		var out strings.Builder
		var calls Calls
		exit, err := calls.Carry(t.Context(), 101, host.JEMRequest{Module: "a", Action: "b"}, jem.Told{}, nil, &out, c.exec)
		if strings.TrimSpace(out.String()) != c.want || exit.Code != c.code || (err == nil) != (c.err == "") ||
			err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %s, %+v, %v", name, out.String(), exit, err)
		}
		if calls.mu.held != 0 || len(calls.mu.open) != 0 {
			t.Errorf("%s: %d bytes and %v are still held", name, calls.mu.held, calls.mu.open)
		}
	}
}

// TestDo: what fails inside is an error in words.
func TestDo(t *testing.T) {
	for name, c := range map[string]struct {
		exec      Exec
		want, err string
	}{
		"done":    {says(`{"version":1,"init":"app","code":"ok","message":"done"}`, "", 0), "done", ""},
		"refused": {says(`{"version":1,"init":"app","code":"invalid","error":{"code":"invalid","reason":"no"}}`, "", 2), "", "no"},
		"nothing": {says("", "", 1), "", "without an answer"},
		"can't": {func(context.Context, wire.CTID, host.ExecSpec, command.Stdio) (host.Exit, error) {
			return host.Exit{Code: 126, Error: "no such program"}, nil
		}, "", "no such program"},
	} {
		var calls Calls
		reply, err := calls.Do(t.Context(), 101, host.JEMRequest{Module: "backup", Action: "before"}, jem.Told{}, c.exec)
		if reply.Message != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %+v, %v", name, reply, err)
		}
	}
}

func TestCarryTells(t *testing.T) {
	var got host.ExecSpec
	var calls Calls
	calls.Carry(t.Context(), 101, host.JEMRequest{Module: "a", Action: "b", Args: []string{"-x"}, Key: "k"}, jem.Told{DiskLimit: 9,
		Key: "z"}, nil,
		io.Discard, func(_ context.Context, _ wire.CTID, spec host.ExecSpec, _ command.Stdio) (host.Exit, error) {
			got = spec
			return host.Exit{}, nil
		})
	if strings.Join(got.Argv, " ") != Program+" a b -x" || got.Env[jem.ToldBy] != `{"key":"k","diskLimit":9}` {
		t.Errorf("%+v", got)
	}
	if _, err := calls.Carry(t.Context(), 101, host.JEMRequest{Key: "\a"}, jem.Told{}, nil, io.Discard, nil); err == nil {
		t.Error("a bad key was taken")
	}
}

// hangs waits for the end of the call, whatever comes.
func hangs(ctx context.Context, _ wire.CTID, _ host.ExecSpec, s command.Stdio) (host.Exit, error) {
	if s.In != nil {
		if b, err := io.ReadAll(s.In); err == nil {
			return host.Exit{}, errors.New("took for the whole: " + string(b))
		}
	}
	<-ctx.Done()
	return host.Exit{Code: 137}, nil
}

func TestCarryEnds(t *testing.T) {
	calls := Calls{within: 10 * time.Millisecond}
	_, err := calls.Carry(t.Context(), 101, host.JEMRequest{}, jem.Told{}, nil, io.Discard, hangs)
	if err == nil || !strings.Contains(err.Error(), "did not end within 10ms") {
		t.Error(err)
	}
	r, w := io.Pipe()
	go func() {
		io.WriteString(w, "half")
		w.CloseWithError(errors.New("the line broke"))
	}()
	calls.within = time.Hour
	_, err = calls.Carry(t.Context(), 101, host.JEMRequest{}, jem.Told{}, r, io.Discard, hangs)
	if err == nil || !strings.Contains(err.Error(), "without an answer") {
		t.Error(err)
	}
}

func TestCarryAtOnce(t *testing.T) {
	var calls Calls
	ctx, cancel := context.WithCancel(t.Context())
	began, ended := make(chan bool), make(chan bool)
	for range eachOpen {
		go func() {
			calls.Carry(ctx, 101, host.JEMRequest{}, jem.Told{}, nil, io.Discard, func(ctx context.Context, _ wire.CTID, _ host.ExecSpec,
				_ command.Stdio) (host.Exit, error) {
				began <- true
				<-ctx.Done()
				return host.Exit{}, nil
			})
			ended <- true
		}()
		<-began
	}
	if _, err := calls.Carry(ctx, 101, host.JEMRequest{}, jem.Told{}, nil, io.Discard, hangs); err == nil ||
		!strings.Contains(err.Error(), "the most allowed") {
		t.Errorf("one more of the same: %v", err)
	}
	var out strings.Builder
	if _, err := calls.Carry(ctx, 102, host.JEMRequest{}, jem.Told{}, nil, &out, says(`{"version":1,"init":"app"}`, "", 0)); err != nil {
		t.Errorf("one of another: %v", err)
	}
	cancel()
	for range eachOpen {
		<-ended
	}
}

// TestCarryBesideHoarders: containers that write long answers and never end take no other's room for a short one, and who has a long one
// then is told why it is not taken.
func TestCarryBesideHoarders(t *testing.T) {
	var calls Calls
	ctx, cancel := context.WithCancel(t.Context())
	wrote, ended := make(chan error), make(chan bool)
	const hoarders = allHeld / jem.MaxReply
	for i := range hoarders {
		go func() {
			id := wire.CTID(200 + i/eachOpen)
			calls.Carry(ctx, id, host.JEMRequest{}, jem.Told{}, nil, io.Discard, func(ctx context.Context, _ wire.CTID,
				_ host.ExecSpec, s command.Stdio) (host.Exit, error) {
				_, err := io.WriteString(s.Out, strings.Repeat(" ", jem.MaxReply))
				wrote <- err
				<-ctx.Done()
				return host.Exit{}, nil
			})
			ended <- true
		}()
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	short := strings.Repeat(" ", 32<<10) + `{"version":1,"init":"app"}`
	if _, err := calls.Carry(ctx, 101, host.JEMRequest{}, jem.Told{}, nil, &out, says(short, "", 0)); err != nil {
		t.Errorf("a short answer beside long ones: %.200v", err)
	}
	long := func() Exec { return says(strings.Repeat(" ", 512<<10)+short, "", 0) }
	if _, err := calls.Carry(ctx, 101, host.JEMRequest{}, jem.Told{}, nil, &out, long()); err == nil ||
		!strings.Contains(err.Error(), "other answers of JEM that have not ended") {
		t.Errorf("a long answer beside long ones: %.200v", err)
	}
	cancel()
	for range hoarders {
		<-ended
	}
	if _, err := calls.Carry(t.Context(), 101, host.JEMRequest{}, jem.Told{}, nil, &out, long()); err != nil {
		t.Errorf("a long answer when they have ended: %.200v", err)
	}
}
