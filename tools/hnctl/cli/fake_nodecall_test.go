package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/nodecall"
	"hardnode.dev/internal/wire/strain"
)

// nodeCall answers what is asked of a node: it is restarted, its ports say everything twice, and it uses more with each sample. Nothing
// listens at port 99, and node 103 does not start again.
func (f *fake) nodeCall(ctx context.Context, c *websocket.Conn, kind string, r *http.Request) host.Exit {
	id, _ := wire.ParseCTID(r.PathValue("ctid"))
	out := channel{ctx, c, host.ChanStdout}
	switch q := r.URL.Query(); {
	case kind == "restart" && id != 103:
		f.mu.Lock()
		f.restarted[id] = time.Now()
		f.mu.Unlock()
	case kind == "forward" && q.Get("port") == "99":
		return host.Exit{Code: 125, Error: "container 101: nothing answers at its TCP port 99: connection refused"}
	case kind == "forward":
		b, _ := io.ReadAll(stdin(ctx, c))
		out.Write(append(b, b...))
	case kind == "backup":
		return f.backup(ctx, c, id, r)
	case kind == "import":
		return f.takeBack(ctx, c, r)
	case kind == "top":
		at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
		for n := range int64(2) {
			raw, _ := json.Marshal(nodecall.Sample{At: at.Add(time.Duration(n) * time.Second), CPUMicros: 1 + n*505_000, Memory: 100 << 20,
				MemoryMax: 512 << 20, PIDs: 2, PIDsMax: 1024, Read: n << 20, NetIn: n << 21,
				NetOut: 7, Strain: strain.Strain{CPU: 45, IO: 3, ThrottledMs: 100 + n*250, Kills: 2}, Processes: []nodecall.Process{
					{PID: 1, Name: "init", State: "S", Threads: 1, Memory: 8 << 20},
					{PID: 7, UID: -1, Name: "evil\x1b[2J", State: "R", CPUMicros: n * 500_000, Threads: 3, Memory: 3 << 20}}})
			out.Write(append(raw, '\n'))
		}
	}
	return host.Exit{}
}

// TestPortForward: each connection is carried to the node's port, both ways, and one that can't be is said.
func TestPortForward(t *testing.T) {
	cfg := filepath.Join(t.TempDir(), "cfg")
	if err := os.Mkdir(cfg, 0o700); err != nil {
		t.Fatal(err)
	}
	stop, err := serve(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, []string{"--config", cfg, "node", "port-forward", "101", ":80", ":99"}, strings.NewReader(""), io.Discard, w)
		w.Close()
	}()
	defer func() {
		cancel()
		io.Copy(io.Discard, r)
		if c := <-code; c != 0 {
			t.Errorf("ended with %d", c)
		}
	}()
	said := bufio.NewScanner(r)
	at := map[string]string{}
	for len(at) < 2 && said.Scan() {
		if w := strings.Fields(said.Text()); strings.Contains(said.Text(), "goes to port") {
			at[w[4]] = w[0]
		}
	}
	talk := func(port string) string {
		t.Helper()
		c, err := net.Dial("tcp", at[port])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "hello")
		c.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(c) // a connection that is refused behind may be reset here
		return string(b)
	}
	if got := talk("80"); got != "hellohello" {
		t.Errorf("got %q", got)
	}
	refused := make(chan string, 1)
	go func() { refused <- talk("99") }()
	if !said.Scan() || !strings.Contains(said.Text(), "forward in node 101: container 101: nothing answers at its TCP port 99") {
		t.Errorf("said %q", said.Text())
	}
	if got := <-refused; got != "" {
		t.Errorf("a port where nobody listens says %q", got)
	}
}
