package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/contract/contracttest"
	"hardnode.dev/internal/wire/jem"
)

// inRoot is by which variable this program knows that it shall be JEM in that root.
const inRoot = "HARDNODE_TEST_ROOT"

func TestMain(m *testing.M) {
	root := os.Getenv(inRoot)
	if root == "" {
		os.Exit(m.Run())
	}
	c := &contract.Call{Root: root, In: os.Stdin, Now: time.Now, Told: jem.Told{Memory: 1 << 30, MilliCPU: 2000}}
	status := contract.Serve(context.Background(), modules, os.Args[1:], c)
	fmt.Fprintln(os.Stderr, c.Reply.Message)
	os.Exit(status)
}

// slow is a program that takes as long as it is let.
const slow = "#!/bin/sh\n[ -e ${0%/*}/../go ] || exec sleep 30\n"

// cuts are actions that change something and then wait for a program of the container; pair and site are what is sent along.
func cuts(t *testing.T) []cut {
	return []cut{
		{"config write /etc/nginx/nginx.conf", "new\n", "etc/nginx/nginx.conf", "old\n", "new\n"},
		{"config write /etc/nginx/more.conf", "new\n", "etc/nginx/more.conf", "", "new\n"},
		{"setmem apply", "", "etc/nginx/modules-enabled/90-jem-setmem.conf", "", "# made by jem setmem"},
		{"ssl install example.org --reload nginx", pairOf(t), "etc/jem/ssl/example.org/key.pem", "", "-----BEGIN PRIVATE KEY"},
		{"deploy archive shop", siteOf(t), "var/www/shop/index.html", "", "hello"},
	}
}

type cut struct{ args, in, path, before, after string }

// begin makes a root in which nginx's check takes long.
func begin(t *testing.T) string {
	return contracttest.Root(t, map[string]string{"usr/sbin/nginx": slow, "etc/nginx/nginx.conf": "old\n",
		"etc/nginx/modules-enabled/": "", "var/www/": "", "etc/jem/hooks/deploy.post": slow, "etc/passwd": "root:x:0:0::/root:/bin/sh\n"})
}

// TestCut: JEM is killed in the midst of a change, after it is made and before it is checked. Nothing of it is left once the next call is
// there, which does what it is asked for.
func TestCut(t *testing.T) {
	for _, c := range cuts(t) {
		root := begin(t)
		if strings.HasPrefix(c.args, "setmem") {
			contracttest.Write(t, root, "etc/nginx/nginx.conf", "include /etc/nginx/modules-enabled/*.conf;\n")
		}
		contracttest.Reached(root) // hooks are nobody's
		cmd := exec.Command("/proc/self/exe", strings.Fields(c.args)...)
		cmd.Env = append(os.Environ(), inRoot+"="+root)
		said := &bytes.Buffer{}
		cmd.Stdin, cmd.Stderr = strings.NewReader(c.in), said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		reached := false
		for end := time.Now().Add(time.Minute); !reached && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			reached = strings.HasPrefix(contracttest.Text(root, c.path), c.after)
		}
		changed := contracttest.Text(root, c.path)
		cmd.Process.Kill()
		cmd.Wait()
		if !reached || !strings.HasPrefix(changed, c.after) {
			t.Errorf("%s: was not cut in its midst: %v, %q; it says %s", c.args, reached, changed, said)
			continue
		}
		r := call(t, root, "", "backup after")
		if got := contracttest.Text(root, c.path); got != c.before || !strings.Contains(r.Said, "was cut off") {
			t.Errorf("%s: after the next call there is %q, want %q; it says %q", c.args, got, c.before, r.Said)
		}
		contracttest.Write(t, root, "usr/go", "")
		os.Remove(filepath.Join(root, "etc/jem/hooks/deploy.post"))
		if r := call(t, root, c.in, strings.TrimSuffix(c.args, " --reload nginx")); r.Code != jem.CodeOK ||
			!strings.HasPrefix(contracttest.Text(root, c.path), c.after) {
			t.Errorf("%s again: %+v, %q", c.args, r, contracttest.Text(root, c.path))
		}
		if r := call(t, root, "", "backup after"); strings.Contains(r.Said, "cut off") {
			t.Errorf("%s: after it was done: %q", c.args, r.Said)
		}
	}
}

// TestLimit: an action whose program does not end is over when its time is, with nothing left of it.
func TestLimit(t *testing.T) {
	for _, c := range cuts(t) {
		root := begin(t)
		if strings.HasPrefix(c.args, "setmem") {
			contracttest.Write(t, root, "etc/nginx/nginx.conf", "include /etc/nginx/modules-enabled/*.conf;\n")
		}
		contracttest.Reached(root)
		if r := limited(t, root, c.in, c.args); r.Code != "unavailable" || !strings.Contains(r.Message, "did not end within") ||
			contracttest.Text(root, c.path) != c.before {
			t.Errorf("%s: %+v, there is %q", c.args, r, contracttest.Text(root, c.path))
		}
	}
}

// limited is call with little time.
func limited(t *testing.T, root, in, args string) jem.Reply {
	t.Helper()
	var short []contract.Module
	for _, m := range modules {
		m.Actions = append([]contract.Action(nil), m.Actions...)
		for i := range m.Actions {
			m.Actions[i].Limit = 300 * time.Millisecond
		}
		short = append(short, m)
	}
	return calls(t, short, root, in, args)
}

func call(t *testing.T, root, in, args string) jem.Reply {
	t.Helper()
	return calls(t, modules, root, in, args)
}

func calls(t *testing.T, list []contract.Module, root, in, args string) jem.Reply {
	t.Helper()
	words := strings.Fields(args)
	for _, m := range list {
		if m.Name == words[0] {
			o := contracttest.Options{In: in, Told: jem.Told{Memory: 1 << 30, MilliCPU: 2000}}
			return contracttest.Call(t, m, root, o, words[1:]...)
		}
	}
	t.Fatalf("there is no module %s", words[0])
	return jem.Reply{}
}

func siteOf(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "index.html", Mode: 0o644, Size: 5, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("hello"))
	w.Close()
	return b.String()
}

func pairOf(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.org"}, DNSNames: []string{"example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}
