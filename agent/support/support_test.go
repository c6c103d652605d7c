package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/upkeep"
)

// gossipKey is a secret of raw bytes: it may be written in several ways.
var gossipKey = []byte("0123456789abcdef-gossip-key-here")

// planted are secrets, as they could come to stand in what is collected.
var planted = map[string]string{
	"join token":         "hn1.0a1b2c3d.00112233445566778899aabbccddeeff",
	"admin token":        "hna1.QWERTYUIOPasdfghjkl0123456789",
	"push token":         "hnp1.PUSHPUSHPUSHPUSH0123",
	"bearer":             "c2VjcmV0LWJlYXJlci10b2tlbg==",
	"password":           "correct-horse-battery",
	"quoted password":    "staple with blanks",
	"url password":       "hunter2hunter2",
	"url query":          "X-Sig-5f4dcc3b5aa765d61d83",
	"pem":                "MC4CAQAwBQYDK2VwBCIEIGplZW1hbmQgd2FyIGhpZXI",
	"cut pem":            "MC4CAQAwBQYDK2VwBCIEIAcutcutcutcutcut",
	"age key":            "AGE-SECRET-KEY-1QQPQYQRP5ZGJ",
	"licence":            "v4.public.eyJsaWNlbmNlIjoiZGVtbyJ9.abcdefghijk",
	"jwt":                "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
	"console password":   "s3cret-console-pw",
	"gossip key, base64": base64.StdEncoding.EncodeToString(gossipKey),
	"gossip key, hex":    hex.EncodeToString(gossipKey),
	"gossip key, raw":    string(gossipKey),
	"json api key":       "AKIA-json-0001",
	"flag":               "cli-flag-value-1",
}

// stuffed is a text with all of them in it, each as it might stand somewhere.
func stuffed() string {
	p := planted
	return strings.Join([]string{
		"time=x level=INFO msg=join tok " + p["join token"] + " refused",
		"admin " + p["admin token"] + ", push " + p["push token"] + ";",
		"Authorization: Bearer " + p["bearer"],
		"login password=" + p["password"] + " host=h",
		`{"dbPassword":"` + p["quoted password"] + `","apiKey": "` + p["json api key"] + `"}`,
		"fetch https://admin:" + p["url password"] + "@example.net/x: no",
		"hardnode.config=https://example.net/h.yaml?signature=" + p["url query"] + " panic=10",
		"-----BEGIN PRIVATE KEY-----\n" + p["pem"] + "\n-----END PRIVATE KEY-----",
		p["age key"], "licence " + p["licence"], "jwt " + p["jwt"],
		"key " + p["gossip key, base64"] + " " + p["gossip key, hex"] + " " + p["gossip key, raw"],
		"pw was " + p["console password"],
		"run --token=" + p["flag"],
		"-----BEGIN EC PRIVATE KEY-----\n" + p["cut pem"],
	}, "\n") + "\n"
}

// config is a configuration with a secret that nothing but its type says is one.
func config() boot.HostConfig {
	c := boot.HostConfig{Version: 1, Name: "host-1", Role: "user"}
	c.Join = &boot.Join{Cluster: "cl-1", Endpoints: []string{"10.0.0.1:7444"}, Token: secret.Text(planted["console password"])}
	return c
}

func source(t *testing.T) Source {
	t.Helper()
	root := t.TempDir()
	put := func(path, text string) {
		at := filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range plain {
		put(p.path, p.name+" is here\n"+stuffed())
	}
	put("/sys/fs/cgroup/ct/101/memory.current", "4096\n")
	put("/sys/fs/cgroup/ct/101/cgroup.procs", "1\n")
	put("/sys/fs/btrfs/uuid/label", "data\n"+stuffed())
	put("/sys/devices/hwmon0/temp1_input", "42000\n")
	put("/sys/class/hwmon/x", "")
	if err := os.Symlink(filepath.Join(root, "/sys/devices/hwmon0"), filepath.Join(root, "/sys/class/hwmon/hwmon0")); err != nil {
		t.Fatal(err)
	}
	put("/proc/17/stat", "17 (ng inx) S 1 17 17 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1000 321 18446744073709551615\n")
	put("/proc/17/cmdline", "mysqld\x00--password="+planted["password"]+"\x00")
	put("/proc/17/environ", "TOKEN="+planted["password"]+"\x00")
	return Source{Root: root, Version: "1.2.3", Now: func() time.Time { return time.Unix(1e9, 0) },
		Logs: func(_ context.Context, spec host.HostLogsSpec, line func([]byte) error) error {
			for l := range strings.Lines(string(spec.Unit) + " log\n" + stuffed()) {
				if err := line([]byte(strings.TrimSuffix(l, "\n"))); err != nil {
					return err
				}
			}
			return nil
		},
		Status: func(context.Context) any {
			return boot.AgentStatus{Name: "host-1", Problems: []host.Problem{{Reason: stuffed()}}}
		},
		Machine: func() any { return []string{"BMC: none", stuffed()} },
		Gossip:  func() any { return []string{"dead: none", stuffed()} },
		Ask: func(_ context.Context, socket, path string) ([]byte, error) {
			if socket == boot.NetdSocket {
				return nil, errors.New("netd is away: token=" + planted["flag"])
			}
			return []byte(path + " says\n" + stuffed()), nil
		},
		Config: func() (boot.HostConfig, string, bool, error) {
			return config(), "URL https://a:" + planted["url password"] + "@example.net/x", true, nil
		},
		Secrets: func() []string { return Written(gossipKey) }}
}

// unpack reads an archive.
func unpack(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	out, r := map[string]string{}, tar.NewReader(gz)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimPrefix(h.Name, "support/")] = string(text)
	}
}

// TestNoSecretGetsOut: an archive made where every secret stands in every place has none of them, and all the rest.
func TestNoSecretGetsOut(t *testing.T) {
	s := source(t)
	var raw bytes.Buffer
	if err := s.Write(t.Context(), &raw); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, raw.Bytes())
	config, err := s.Configuration(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files["the configuration alone"] = string(config)
	for name, text := range files {
		for what, value := range planted {
			if strings.Contains(text, value) {
				t.Errorf("%s has the %s: %q", name, what, value)
			}
		}
	}
	for name, want := range map[string]string{"README.txt": "version 1.2.3", "config.json": `"name": "host-1"`, "agent.json": `"host-1"`,
		"machine.json": "BMC: none",
		"gossip.json":  "dead: none", "init.json": "/v1/status says", "logs/agent.log": "agent log", "logs/dmesg.log": "dmesg log",
		"logs/kernel.log": "host=h", "boots.json": "is here", "crash.txt": "is here", "disk/mounts": "is here",
		"system/cmdline": "panic=10",
		"disk/btrfs.txt": "/sys/fs/btrfs/uuid/label\n\tdata", "cgroups.txt": "/sys/fs/cgroup/ct/101/memory.current\n\t4096",
		"sensors.txt": "/temp1_input\n\t42000", "processes.txt": "17 S rss 321 pages ng inx",
		"missing.txt": "network/links.json: netd is away", "the configuration alone": `"source": "URL https://(secret)@example.net/x"`} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s has no %q: %.300q", name, want, files[name])
		}
	}
	if strings.Contains(files["cgroups.txt"], "cgroup.procs") {
		t.Error("cgroups.txt has what nobody asked for")
	}
}

// TestBounds: what is too big is cut, what does not answer is left out, and both are said.
func TestBounds(t *testing.T) {
	s := source(t)
	if err := os.WriteFile(filepath.Join(s.Root, "/proc/meminfo"), []byte(strings.Repeat("line\n", maxFile/4)+"the end\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	hang := make(chan struct{})
	defer close(hang)
	s.Gossip = func() any { <-hang; return nil }
	s.Logs = func(_ context.Context, _ host.HostLogsSpec, line func([]byte) error) error {
		for i := range 50_000 {
			if err := line(fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", 100))); err != nil {
				return err
			}
		}
		return nil
	}
	var raw bytes.Buffer
	began := time.Now()
	if err := s.Write(t.Context(), &raw); err != nil {
		t.Fatal(err)
	}
	files, all := unpack(t, raw.Bytes()), 0
	for name, text := range files {
		if all += len(text); len(text) > maxFile+maxFile/10 { // what stands for a secret may be longer
			t.Errorf("%s has %d bytes", name, len(text))
		}
	}
	if took := time.Since(began); all > maxAll+maxFile || took > patience+fileWait {
		t.Errorf("%d bytes in %s", all, took)
	}
	if !strings.HasSuffix(files["system/meminfo"], "the end\n") || !strings.Contains(files["logs/agent.log"], "49999 xxx") {
		t.Errorf("cut at the wrong end: meminfo %d bytes, agent.log %d", len(files["system/meminfo"]), len(files["logs/agent.log"]))
	}
	for _, want := range []string{"gossip.json: did not answer in time", "system/meminfo: its last 1048576 bytes are here"} {
		if !strings.Contains(files["missing.txt"], want) {
			t.Errorf("missing.txt has no %q: %s", want, files["missing.txt"])
		}
	}
}

func TestConfiguration(t *testing.T) {
	s := source(t)
	raw, err := s.Configuration(t.Context())
	var c upkeep.Config
	if err != nil || json.Unmarshal(raw, &c) != nil || !strings.Contains(string(raw), `"token": "(secret)"`) {
		t.Errorf("got %s, %v", raw, err)
	}
	s.Config = func() (boot.HostConfig, string, bool, error) { return boot.HostConfig{}, "", false, nil }
	if _, err := s.Configuration(t.Context()); err == nil || !strings.Contains(err.Error(), "no configuration yet") {
		t.Errorf("none: %v", err)
	}
}

// TestRedact finds secrets by their type, however deep they lie.
func TestRedact(t *testing.T) {
	type deep struct {
		Text  secret.Text
		List  []secret.Text
		Bytes *secret.Bytes
		Map   map[string]secret.Text
		Plain string
		own   secret.Text
	}
	key := secret.Bytes("raw-key-bytes")
	v := deep{"one-one", []secret.Text{"two-two"}, &key, map[string]secret.Text{"k": "three-three"}, "plain", "own"}
	known := strings.Join(Redact(&v), " ")
	for _, want := range []string{"one-one", "two-two", "three-three", "raw-key-bytes", hex.EncodeToString([]byte("raw-key-bytes"))} {
		if !strings.Contains(known, want) {
			t.Errorf("%q is not among the known: %s", want, known)
		}
	}
	if v.Text.Reveal() != hidden || v.List[0].Reveal() != hidden || len(*v.Bytes) > 0 || v.Map["k"].Reveal() != hidden ||
		v.Plain != "plain" {
		t.Errorf("left: %q %q %q %q", v.Text.Reveal(), v.List[0].Reveal(), v.Bytes.Reveal(), v.Map["k"].Reveal())
	}
}

// TestScrubLeavesTheRest: what helpers read stays.
func TestScrubLeavesTheRest(t *testing.T) {
	if got := string(Scrub([]byte("AAAAAcut-away-body\n-----END PRIVATE KEY-----\nrest\n"), nil)); got != hidden+"\nrest\n" {
		t.Errorf("the end of a key: %q", got)
	}
	for _, text := range []string{
		"time=2026-11-26T10:00:00Z level=WARN msg=\"orchestrator away\" program=agent reason=\"dial tcp 10.0.0.1:7444: i/o timeout\"",
		"00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/dbus-daemon",
		"the join token was used by host host-1",
		"sha256:0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
		"GET https://10.77.0.2:7445/v2/nginx/manifests/1: 404",
	} {
		if got := string(Scrub([]byte(text), nil)); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
