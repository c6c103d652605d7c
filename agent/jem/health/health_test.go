package health

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
)

func TestTemplatesChecks(t *testing.T) {
	var bad atomic.Bool
	var asked atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 && r.URL.Path == "/later" {
			return
		}
		if bad.Load() || r.URL.Path == "/later" {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer web.Close()
	root := contracttest.Root(t, map[string]string{"etc/passwd": "root:x:0:0::/:/bin/sh\nwww:x:65534:65534::/:/bin/sh\n",
		"bin/sh@": "/bin/sh"})
	contracttest.Reached(root)
	write := func(checks string) {
		t.Helper()
		contracttest.Write(t, root, "etc/jem/template.json", `{"version":1,"health":[`+checks+`]}`)
	}
	addr := strings.TrimPrefix(web.URL, "http://")
	good := fmt.Sprintf(`{"http":%q},{"tcp":%q}`, web.URL+"/", addr)
	write(good)
	if r := contracttest.Call(t, Module, root, contracttest.Options{}, "check"); r.Code != "ok" || len(r.Items) != 2 ||
		r.Items[0]["state"] != "well" || r.Items[0]["says"] != "200" {
		t.Errorf("%+v", r)
	}
	bad.Store(true)
	if r := contracttest.Call(t, Module, root, contracttest.Options{}, "check"); r.Code != "unavailable" || len(r.Items) != 2 ||
		!strings.Contains(r.Message, "1 of 2 checks are not well: http") || !strings.Contains(r.Message, "the answer is 502") {
		t.Errorf("%+v", r)
	}
	bad.Store(false)
	asked.Store(0)
	write(fmt.Sprintf(`{"http":%q}`, web.URL+"/later"))
	if r := contracttest.Call(t, Module, root, contracttest.Options{}, "check", "--within", "300"); r.Code != "ok" || asked.Load() != 2 {
		t.Errorf("asked %d times: %+v", asked.Load(), r)
	}
	for checks, want := range map[string]string{
		`{"exec":["/nosuch"]}`:                                            "no such program",
		`{"exec":["/bin/sh"],"user":"nobody"}`:                            `there is no user "nobody"`,
		`{"exec":["/bin/sh","-c","echo not ready; exit 3"],"user":"www"}`: "ended with exit status 3: not ready",
		`{"exec":[""]}`: "health, check 1",
		`{`:             "/etc/jem/template.json:",
	} {
		write(checks)
		if r := contracttest.Call(t, Module, root, contracttest.Options{}, "check"); r.Code == "ok" || !strings.Contains(r.Message, want) {
			t.Errorf("%s: %+v, want %q", checks, r, want)
		}
	}
}

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   2: 0100007F:1538 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0
`

const table6 = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A
   2: nonsense:0016 00000000000000000000000000000000:0000 0A
`

func TestWhatIsFound(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"proc/net/tcp": table, "proc/net/tcp6": table6})
	var got []string
	for _, k := range found(listening(root)) {
		got = append(got, k.kind+" "+k.target)
	}
	if want := "ssh [::1]:22, http 127.0.0.1:80, postgresql 127.0.0.1:5432"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	empty := contracttest.Root(t, nil)
	if r := contracttest.Call(t, Module, empty, contracttest.Options{}, "check"); r.Code != "unavailable" ||
		!strings.Contains(r.Message, "nothing listens") {
		t.Errorf("%+v", r)
	}
	if r := contracttest.Call(t, Module, empty, contracttest.Options{}, "check", "--within", "601"); r.Code != "invalid" {
		t.Errorf("%+v", r)
	}
}

// TestOpenRC: services that have failed are an illness there too, as units of systemd are.
func TestOpenRC(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"run/openrc/softlevel": "default", "run/openrc/failed/": "",
		"sbin/rc-service": "#!/bin/sh\n"})
	if r := contracttest.Call(t, Module, root, contracttest.Options{}, "check"); r.Code != "ok" || r.Items[0]["check"] != "services" {
		t.Errorf("none has failed: %+v", r)
	}
	contracttest.Write(t, root, "run/openrc/failed/cron", "")
	if r := contracttest.Call(t, Module, root, contracttest.Options{}, "check"); r.Code != "unavailable" ||
		!strings.Contains(r.Message, "services openrc: 1 have failed: cron") {
		t.Errorf("one has: %+v", r)
	}
}
