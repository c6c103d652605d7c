package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/waiting"
	"hardnode.dev/orchestrator/hostapi/hosttest"
	"hardnode.dev/orchestrator/store"
)

// TestStories are stories of requests and answers, one file each in testdata/stories, against the whole orchestrator on loopback. Beside
// the commands of testscript (stdout, env, …) a story has these:
//
//	cluster SEATS HOST…              begins a cluster with a licence for SEATS hosts and a join token for each HOST
//	join HOST [MIB]                  the host joins, with so much memory, and is ACTIVE
//	refused TOKEN                    a host is refused with that join token: the problem is the answer
//	stranger NAME                    a machine without a token asks to be let in, with a key of its own; its code is $CODE. Once it was
//	                                 admitted it is a host
//	force HOST all|CTID STATE [WHY]  from now on the host says that of its containers, or of that one; STATE own: how they are
//	api METHOD PATH [BODY] [HEADER:VALUE]…  asks; BODY is a file, or JSON. The answer is kept and printed; with ! it must be a problem
//	is FIELD VALUE                   the field of the last answer (layers.0.name; layers.len is how many) is that; '': it is not there
//	says FIELD PATTERN               the field matches
//	until PATH FIELD PATTERN         asks until the field matches; until PATH gone: until there is nothing
//	ended                            waits until the operation that was accepted last has ended: it is the answer
//	settled                          waits until all hosts have done what is stored now
//	work HOST                        what the host was told to run is the answer
//	session PATH                     holds a session; what it printed, and "exit CODE", is printed
//	as TOKEN                         asks with that token
//	later DURATION                   time passes for operations
//	tag NAME:TAG WORD                the name stands for another image, as after a push: for each WORD another one
//	restart                          the orchestrator ends and starts again
//
// $OP is the operation that was accepted last, $TOKEN and $ID the token that was made last, $NEXT the cursor of the last answer, $JOIN_HOST
// each host's join token, $FORGED a licence that nobody signed.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "stories"),
		Setup: func(e *testscript.Env) error {
			t, ok := e.T().(testing.TB)
			if !ok {
				return fmt.Errorf("testscript's T is no testing.TB any more")
			}
			e.Values["story"] = &story{t: t, hosts: map[string]*hosttest.Host{}, keys: map[string]ed25519.PrivateKey{}}
			e.Setenv("ADMIN", adminToken)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cluster": command(2, 9, (*story).cluster), "join": command(1, 2, (*story).join), "refused": command(1, 1, (*story).refused),
			"stranger": command(1, 1, (*story).stranger),
			"force":    command(3, 4, (*story).force), "is": command(2, 2, (*story).is), "says": command(2, 2, (*story).says),
			"until": command(2, 3, (*story).wait), "ended": command(0, 0, (*story).ended), "settled": command(0, 0, (*story).settled),
			"work": command(1, 1, (*story).work), "session": command(1, 1, (*story).session), "as": command(1, 1, (*story).as),
			"later": command(1, 1, (*story).later), "restart": command(0, 0, (*story).restart), "api": ask,
			"refuse": command(1, 2, (*story).refuse), "left": command(1, 1, (*story).left),
			"tag": command(2, 2, (*story).tag), "mute": command(1, 1, (*story).mute),
		},
	})
}

// story is what one story has come to.
type story struct {
	t     testing.TB
	c     *cluster
	hosts map[string]*hosttest.Host
	keys  map[string]ed25519.PrivateKey // of strangers
	last  any                           // the last answer, as JSON
}

// command is a command that takes from least to most arguments and can't be negated.
func command(least, most int, f func(*story, *testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < least || len(args) > most {
			ts.Fatalf("want from %d to %d arguments, and no !: see TestStories", least, most)
		}
		f(ts.Value("story").(*story), ts, args)
	}
}

func (s *story) cluster(ts *testscript.TestScript, args []string) {
	seats, err := strconv.Atoi(args[0])
	ts.Check(err)
	s.c = found(s.t, seats, args[1:]...)
	s.c.start()
	for name, token := range s.c.tokens {
		ts.Setenv("JOIN_"+name, token.Reveal())
	}
	ts.Setenv("FORGED", s.c.seed.License[:len(s.c.seed.License)-3]+"AAA")
}

func (s *story) host(ts *testscript.TestScript, name string) *hosttest.Host {
	h := s.hosts[name]
	if h == nil {
		ts.Fatalf("host %s has not joined", name)
	}
	return h
}

func (s *story) join(ts *testscript.TestScript, args []string) {
	memory := int64(0)
	if len(args) == 2 {
		mib, err := strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
		memory = mib << 20
	}
	s.hosts[args[0]], _ = s.c.join(args[0], memory)
}

func (s *story) refused(ts *testscript.TestScript, args []string) {
	_, err := hosttest.Join(s.t.Context(),
		hosttest.Options{Addr: s.c.hostAddr, Pin: identity.Pin(s.c.root.Cert), Token: secret.Text(args[0]),
			Underlay: netip.MustParseAddr("10.77.0.99")})
	p := problemOf(err)
	if p == nil {
		ts.Fatalf("want a problem, got %v", err)
	}
	s.keep(ts, p)
}

func (s *story) stranger(ts *testscript.TestScript, args []string) {
	key := s.keys[args[0]]
	if key == nil {
		var err error
		key, err = identity.NewKey()
		ts.Check(err)
		s.keys[args[0]] = key
	}
	pin := identity.Pin(s.c.root.Cert)
	ts.Setenv("CODE", identity.Code(key.Public().(ed25519.PublicKey), pin))
	reply, h, err := hosttest.Wait(s.t.Context(),
		hosttest.Options{Addr: s.c.hostAddr, Pin: pin, Underlay: netip.MustParseAddr("10.77.0.77")}, key,
		waiting.Machine{Serial: args[0], MACs: []string{"52:54:00:00:00:07"}})
	if p := problemOf(err); p != nil {
		s.keep(ts, p)
		return
	}
	ts.Check(err)
	if h != nil {
		s.hosts[args[0]] = h
	}
	s.keep(ts, reply)
}

func (s *story) force(ts *testscript.TestScript, args []string) {
	h, id, state, why := s.host(ts, args[0]), wire.CTID(0), host.ContainerState(args[2]), ""
	if args[1] != "all" {
		var err error
		id, err = wire.ParseCTID(args[1])
		ts.Check(err)
	}
	if state == "own" {
		state = ""
	}
	if len(args) == 4 {
		why = args[3]
	}
	h.Force(id, state, why)
}

// ask is api METHOD PATH [BODY] [HEADER:VALUE]…
func ask(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: api METHOD PATH [BODY] [HEADER:VALUE]…")
	}
	s := ts.Value("story").(*story)
	var body []byte
	header := []string{}
	for _, a := range args[2:] {
		name, value, isHeader := strings.Cut(a, ":")
		switch {
		case strings.HasPrefix(a, "{"):
			body = []byte(a)
		case isHeader:
			header = append(header, name, strings.TrimSpace(value))
		default:
			body = []byte(ts.ReadFile(a))
		}
	}
	resp, text := s.ask(args[0], args[1], body, header...)
	if problem := resp.StatusCode >= 300; problem != neg {
		ts.Fatalf("%s: %s", resp.Status, text)
	}
	s.decode(ts, text)
	if neg {
		s.checkProblem(ts, resp)
	}
	for variable, field := range map[string]string{"OP": "operation.id", "TOKEN": "text", "ID": "id"} {
		if v := s.field(field); v != "" {
			ts.Setenv(variable, v)
		}
	}
	ts.Setenv("NEXT", s.field("next"))
}

func (s *story) ask(method, path string, body []byte, header ...string) (*http.Response, string) {
	client := s.c.client
	if slices.Contains(header, "Upgrade") {
		client, header = s.c.plain, append(header, "Connection", "Upgrade")
	}
	if body == nil {
		return s.c.do(client, method, path, nil, header...)
	}
	return s.c.do(client, method, path, bytes.NewReader(body), append(header, "Content-Type", "application/json")...)
}

// checkProblem holds a refusal to the form all of them have.
func (s *story) checkProblem(ts *testscript.TestScript, resp *http.Response) {
	if ct := resp.Header.Get("Content-Type"); ct != operator.ProblemType || s.field("status") != strconv.Itoa(resp.StatusCode) ||
		s.field("code") == "" || s.field("detail") == "" {
		ts.Fatalf("%s with %s is an unfit problem", resp.Status, ct)
	}
}

// decode keeps and prints an answer.
func (s *story) decode(ts *testscript.TestScript, text string) {
	s.last = nil
	if text != "" {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		ts.Check(d.Decode(&s.last))
	}
	pretty, err := json.MarshalIndent(s.last, "", "  ")
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), string(pretty))
}

func (s *story) keep(ts *testscript.TestScript, v any) {
	raw, err := json.Marshal(v)
	ts.Check(err)
	s.decode(ts, string(raw))
}

// field is one field of the last answer as text, "" if it is not there.
func (s *story) field(path string) string {
	v := s.last
	for _, name := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			if i, err := strconv.Atoi(name); err == nil && i < len(x) {
				v = x[i]
				continue
			}
			if v = nil; name == "len" {
				return strconv.Itoa(len(x))
			}
		default:
			return ""
		}
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (s *story) is(ts *testscript.TestScript, args []string) {
	if got := s.field(args[0]); got != args[1] {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

func (s *story) says(ts *testscript.TestScript, args []string) {
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	if got := s.field(args[0]); !pattern.MatchString(got) {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

func (s *story) wait(ts *testscript.TestScript, args []string) {
	pattern := regexp.MustCompile("")
	if gone := len(args) == 2; gone != (args[1] == "gone") {
		ts.Fatalf("want PATH FIELD PATTERN, or PATH gone")
	} else if !gone {
		var err error
		pattern, err = regexp.Compile(args[2])
		ts.Check(err)
	}
	for end := time.Now().Add(30 * time.Second); ; run.Wait(s.t.Context(), 20*time.Millisecond) {
		resp, text := s.ask("GET", args[0], nil)
		if len(args) == 2 && resp.StatusCode == http.StatusNotFound {
			return
		}
		if resp.StatusCode == http.StatusOK && len(args) == 3 {
			s.last = nil
			ts.Check(json.Unmarshal([]byte(text), &s.last))
			if pattern.MatchString(s.field(args[1])) {
				s.decode(ts, text)
				return
			}
		}
		if time.Now().After(end) {
			ts.Fatalf("not within 30 s; the last answer is %s: %s", resp.Status, text)
		}
	}
}

func (s *story) ended(ts *testscript.TestScript, _ []string) {
	s.wait(ts, []string{operator.Prefix + "/operations/" + ts.Getenv("OP"), "state", "^(done|failed|cancelled)$"})
}

func (s *story) settled(*testscript.TestScript, []string) { s.c.settle() }

func (s *story) work(ts *testscript.TestScript, args []string) {
	s.keep(ts, s.host(ts, args[0]).Work())
}

// tag has a name stand for another image, as a push does: tag NAME:TAG WORD, by which images differ.
func (s *story) tag(ts *testscript.TestScript, args []string) {
	_, err := s.c.o.store.Update(s.t.Context(), func(tx *store.Tx) error {
		t := host.Template{Image: host.Image{Name: wire.TemplateName(args[0]), Digest: digest(args[1]), Bytes: 4096},
			OCI: digest("oci of " + args[1]), Process: host.Process{Argv: []string{"app"}}, HTTPPort: 80, Profile: host.ProfileApp,
			Account: wire.AdminAccount}
		store.Templates.Put(tx, store.TemplateKey(t.Name), t)
		return nil
	})
	ts.Check(err)
}

func (s *story) session(ts *testscript.TestScript, args []string) {
	out, exit := drain(s.t, s.c.dialAt(args[0]))
	fmt.Fprintf(ts.Stdout(), "%sexit %d %s\n", out, exit.Code, exit.Error)
}

func (s *story) as(_ *testscript.TestScript, args []string) { s.c.bearer = args[0] }

func (s *story) later(ts *testscript.TestScript, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	s.c.later(d)
	ts.Check(s.c.o.ops.Step(s.t.Context()))
}

// refuse is refuse HOST [WORDS]: it does not do what it is ordered.
func (s *story) refuse(ts *testscript.TestScript, args []string) {
	s.host(ts, args[0]).Refuse(strings.Join(args[1:], ""))
}

func (s *story) left(ts *testscript.TestScript, args []string) {
	s.keep(ts, s.host(ts, args[0]).Left())
}

func (s *story) mute(ts *testscript.TestScript, args []string) { s.host(ts, args[0]).Mute(true) }

func (s *story) restart(*testscript.TestScript, []string) {
	s.c.stopped()
	s.c.start()
}
