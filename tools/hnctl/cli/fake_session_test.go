package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// events tells of an operation; the first stream of each breaks off, so that clients must come again.
func (f *fake) events(w http.ResponseWriter, r *http.Request) {
	id := wire.OperationID(r.PathValue("op"))
	f.mu.Lock()
	op, ok := f.operation(id)
	second := f.seen["stream "+string(id)] != ""
	f.seen["stream "+string(id)] = id
	f.mu.Unlock()
	if !ok {
		refuse(w, operator.NotFound, "operations/"+string(id), "there is no such operation", "see hnctl op list")
		return
	}
	send := func(op operator.Operation) {
		raw, _ := json.Marshal(op)
		fmt.Fprintf(w, ": hello\nid: 1\nevent: operation\ndata: %s\n\n", raw)
		w.(http.Flusher).Flush()
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send(op)
	switch {
	case strings.HasSuffix(op.Object, "/slow"):
		<-r.Context().Done()
		return
	case !second:
		return
	case op.State.Final():
		return
	case op.Kind == "import":
		op.State, op.Progress = operator.OpDone, 100
		op.Steps = []operator.Step{{Name: "accept", State: operator.OpDone},
			{Name: "import", State: operator.OpDone, Detail: "a template of 84.2 MiB"}}
		f.mu.Lock()
		f.imports[id] = op
		f.mu.Unlock()
		send(op)
		return
	case strings.Contains(op.Object, "/fail"):
		op.State, op.Steps[0].State = operator.OpFailed, operator.OpFailed
		op.Problem = operator.NewProblem(operator.Exhausted, op.Object, "no host has room", "add a host")
	default:
		op.State, op.Progress = operator.OpDone, 100
		op.Steps = []operator.Step{{Name: "place", State: operator.OpDone, Detail: "host-1"}, {Name: "start", State: operator.OpDone}}
	}
	f.mu.Lock()
	f.ops[id] = op
	f.mu.Unlock()
	send(op)
}

// session answers exec with the command and what came on stdin, logs with two lines.
func (f *fake) session(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("ctid") == "999" {
		refuse(w, operator.NotFound, "nodes/999", "there is no such node", "see hnctl node list")
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	out := func(ch host.Channel, s string) { c.Write(ctx, websocket.MessageBinary, host.Frame(ch, []byte(s))) }
	q := r.URL.Query()
	exit := host.Exit{}
	switch kind := r.PathValue("kind"); kind {
	case "exec":
		argv := q["argv"]
		if argv[0] == "tty" {
			exit.Code = 9
			for end := false; !end; {
				_, msg, err := c.Read(ctx)
				if err != nil {
					return
				}
				switch ch, p, _ := host.ParseFrame(msg); ch {
				case host.ChanResize:
					rows, cols, _ := host.ParseResize(p)
					out(host.ChanStdout, fmt.Sprintf("size %s %s resize %d %d\r\n", q.Get("rows"), q.Get("cols"), rows, cols))
				case host.ChanStdin:
					for _, k := range p {
						out(host.ChanStdout, fmt.Sprintf("key %d\r\n", k))
						end = end || k == 'q'
					}
				}
			}
			break
		}
		if argv[0] == "/run/hardnode/jem" && argv[1] == "copy" {
			exit = f.copySession(ctx, c, argv[2:])
			break
		}
		if argv[0] == "cat" {
			for {
				_, msg, err := c.Read(ctx)
				if err != nil {
					return
				}
				ch, p, err := host.ParseFrame(msg)
				if err != nil || ch != host.ChanStdin {
					continue
				}
				if len(p) == 0 {
					break
				}
				out(host.ChanStdout, string(p))
			}
			break
		}
		out(host.ChanStdout, strings.Join(argv, " ")+"\n")
		out(host.ChanStderr, "uid "+q.Get("uid")+"\n")
		if q.Has("user") {
			out(host.ChanStderr, "user "+q.Get("user")+"\n")
		}
		if argv[0] == "exit" {
			exit.Code, _ = strconv.Atoi(argv[1])
		}
		if argv[0] == "nosuch" {
			exit = host.Exit{Code: 127, Error: "nosuch: no such program"}
		}
		if argv[0] == "big" {
			exit = host.Exit{Code: 137, Note: "out of memory: process dd of a command used 126 MiB of 128 MiB"}
		}
		if argv[0] == "break" {
			return
		}
	case "jem":
		answer, code := jemAnswer(q)
		out(host.ChanStdout, answer)
		exit.Code = code
	case "restart", "forward", "top", "backup", "import":
		exit = f.nodeCall(ctx, c, kind, r)
	case "backups":
		exit = f.keepBackups(ctx, c, q.Get("change") == "true")
	case "config":
		out(host.ChanStdout, `{"source":"fw_cfg opt/hardnode/config","config":{"version":1,"name":"host-1"}}`)
	default:
		out(host.ChanStdout, kind+" tail="+q.Get("tail")+" follow="+q.Get("follow")+" module="+q.Get("module")+" since="+q.Get("since")+
			" timestamps="+q.Get("timestamps")+" unit="+q.Get("unit")+"\nhalf a ")
		out(host.ChanStderr, "trouble\nno end")
		out(host.ChanStdout, "line\n")
		if r.PathValue("ctid") == "102" {
			exit = host.Exit{Code: 125, Error: "read log of container 102: input/output error"}
		}
	}
	c.Write(ctx, websocket.MessageBinary, host.Frame(host.ChanExit, host.ExitPayload(exit)))
	c.Close(websocket.StatusNormalClosure, "")
}

// jemAnswer is what JEM says to a call.
func jemAnswer(q url.Values) (answer string, code int) {
	switch q.Get("module") + " " + q.Get("action") {
	case "service status":
		return `{"version":1,"init":"systemd","code":"ok","services":[{"name":"nginx.service","state":"active","pid":7,` +
			`"memoryBytes":2097152,"description":"a \u001b[2J web server"}]}`, 0
	case "jem list":
		return `{"version":1,"init":"app","code":"ok","message":"1 of 2 actions can be done here","columns":["module","lacks"],` +
			`"items":[{"module":"service"},{"module":"cron","lacks":"cron"}]}`, 0
	case "service restart":
		return `{"version":1,"init":"app","code":"ok","message":"restarted ` + q.Get("key") + strings.Join(q["arg"], "|") +
			`","again":true,` +
			`"said":"a hook\u0007\n"}`, 0
	case "config read":
		return `{"version":1,"init":"app","code":"ok","text":"one\ntwo\n"}`, 0
	case "service start":
		return `{"version":1,"init":"app","code":"not_found","error":{"code":"not_found","reason":"there is no unit x","next":"look"}}`, 1
	case "service noise":
		return `{"version":1,"init":"app"} {}`, 0
	}
	return `{"version":1,"init":"app","code":"invalid","error":{"code":"invalid","reason":"jem has no module"}}`, 2
}
