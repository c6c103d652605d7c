package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/hostapi/hosttest"
)

// mirror is a repository's metadata as a host gets it.
type mirror struct {
	h    *hosttest.Host
	name trust.Name
}

func (m mirror) Get(ctx context.Context, name string, _ int64) ([]byte, error) {
	raw, err := m.h.Get(ctx, host.PathReleases+string(m.name)+"/"+name)
	var p *operator.Problem
	if errors.As(err, &p) && p.Code == operator.NotFound {
		return nil, trust.ErrAbsent
	}
	return raw, err
}

// A host is ordered another release: it is told by its assignment, finds signed metadata and the files where it asks for its assignment,
// and what it says of it is shown. One order is one order; one that is taken back is told too; a restart loses nothing.
func TestSystem(t *testing.T) {
	c := found(t, 3, "infra1", "host1", "host2")
	pair := released.Both(t, c.seed.Cluster, time.Now().Add(24*time.Hour))
	anchors := pair.Anchors()
	c.start()
	h, _ := c.join("infra1", 0)
	other, _ := c.join("host1", 0)
	const path = operator.Prefix + "/hosts/infra1/system"
	want := operator.OrderSystem{Release: "1.1.0", Step: "stage", Reason: "spring"}
	var is operator.HostSystem
	c.ok("GET", path, nil, &is)
	if is.Wanted != nil || is.Status == nil || is.Status.Release != hosttest.Runs {
		t.Errorf("before: %+v", is)
	}
	refused := func(o operator.OrderSystem, code operator.Code, words string) {
		t.Helper()
		if p := c.call("PUT", path, o, nil); p == nil || p.Code != code || !strings.Contains(p.Error(), words) || p.Next == "" {
			t.Errorf("%+v: %v, want %s with %q", o, p, code, words)
		}
	}
	refused(want, operator.Conflict, "no release was imported")

	// A host is told which others say that they have a system: itself is none of them.
	for digest, want := range map[wire.Digest][]wire.HostID{hosttest.SystemOf(hosttest.Runs): {c.host("infra1").ID},
		hosttest.SystemOf("9"): nil} {
		raw, err := other.Get(t.Context(), host.PathReleasePeers+string(digest))
		var list host.ReleasePeers
		must(t, errors.Join(err, json.Unmarshal(raw, &list)))
		if !slices.Equal(list.Hosts, want) {
			t.Errorf("hosts that have %s: %q, want %q", digest, list.Hosts, want)
		}
	}

	content := strings.Repeat("a system of some size ", 100_000)
	file := pair.Release(t, "1.1.0", "vm-host.efi", content)
	c.ok("PUT", operator.Prefix+"/releases/trust", operator.ReleaseTrust{Image: anchors.Image.Pin, Director: anchors.Director.Pin}, nil)
	in := operator.ReleaseImport{Image: pair.Image.Files, Director: pair.Director.Files}
	var got operator.ReleaseImported
	c.ok("POST", operator.Prefix+"/releases/import", in, &got)
	for _, m := range got.Missing {
		for data := pair.Content[m.Path]; data != ""; {
			n := min(len(data), operator.MaxReleasePart)
			c.ok("PUT", operator.Prefix+"/releases/files/"+string(m.Digest), operator.ReleaseChunk{Offset: m.Bytes - int64(len(data)),
				Data: []byte(data[:n])}, nil)
			data = data[n:]
		}
	}
	c.ok("POST", operator.Prefix+"/releases/import", in, &got)
	if !got.Done {
		t.Fatalf("the import: %+v", got)
	}

	refused(operator.OrderSystem{Release: "1.2.0", Step: "stage"}, operator.Conflict, "1.2.0 is not among those")
	refused(operator.OrderSystem{Release: "1.1.0", Step: "stage", WithinSec: 7}, operator.Invalid, "withinSec")
	c.ok("PUT", path, want, &is)
	first := is.Wanted
	if first == nil || first.Release != "1.1.0" || first.Step != "stage" || !strings.HasPrefix(first.By, "admin from 127.0.0.1") ||
		first.Order == "" {
		t.Fatalf("ordered: %+v", first)
	}
	c.eventually("the host is told", func() bool { s := h.System(); return s.Wanted() && s.Order == first.Order && s.Reason == "spring" })
	c.eventually("what it says is shown", func() bool {
		is = operator.HostSystem{}
		c.ok("GET", path, nil, &is)
		return is.Status.State == host.SystemStaged && is.Status.Order == first.Order
	})
	if other.System() != nil {
		t.Errorf("another host is told of it: %+v", other.System())
	}
	c.ok("PUT", path, want, &is)
	if *is.Wanted != *first {
		t.Errorf("the same again: %+v, before %+v", is.Wanted, first)
	}

	v, _, err := trust.Look(t.Context(), mirror{h, trust.Image}, mirror{h, trust.Director}, anchors, trust.State{}, time.Now())
	must(t, err)
	if _, ok := trust.Find(v.Agreed, file.Path); !ok {
		t.Errorf("a host agrees on %v", v.Agreed)
	}
	at := fmt.Sprintf("%s%s?offset=%d&length=%d", host.PathReleaseFiles, file.Digest, len(content)-1000, 2000)
	if raw, err := h.Get(t.Context(), at); err != nil || string(raw) != content[len(content)-1000:] {
		t.Errorf("the end of the file: %d bytes, %v", len(raw), err)
	}
	for _, bad := range []string{"?offset=0&length=0", "?offset=0&length=1048577", "?offset=-1&length=5", "?offset=x&length=5"} {
		if _, err := h.Get(t.Context(), host.PathReleaseFiles+string(file.Digest)+bad); err == nil {
			t.Errorf("%s is answered", bad)
		}
	}
	var p *operator.Problem
	for _, absent := range []string{host.PathReleaseFiles + string(digest("x")) + "?length=5", host.PathReleases + "image/9.root.json",
		host.PathReleases + "image/..%2f..%2freleases.json", host.PathReleases + "store/1.root.json"} {
		if _, err := h.Get(t.Context(), absent); !errors.As(err, &p) || p.Code != operator.NotFound {
			t.Errorf("%s: %v", absent, err)
		}
	}
	// Nobody without a host's certificate is given any of it.
	stranger := &http.Client{Transport: c.client.Transport}
	for _, path := range []string{host.PathReleases + "image/timestamp.json", host.PathReleaseFiles + string(file.Digest) + "?length=5"} {
		resp, err := stranger.Get("https://" + c.hostAddr + path)
		if err == nil {
			resp.Body.Close()
		}
		if err != nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s is answered to a stranger: %v %v", path, resp, err)
		}
	}

	c.stopped()
	c.start()
	c.eventually("after a restart the order stands", func() bool {
		is = operator.HostSystem{}
		c.ok("GET", path, nil, &is)
		return is.Wanted != nil && *is.Wanted == *first && is.Status != nil
	})
	want.Step = "switch"
	c.ok("PUT", path, want, &is)
	c.eventually("the host runs it", func() bool {
		is = operator.HostSystem{}
		c.ok("GET", path, nil, &is)
		return is.Status != nil && is.Status.State == host.SystemDone && is.Status.Release == "1.1.0"
	})
	is = operator.HostSystem{}
	c.ok("DELETE", path, nil, &is)
	c.eventually("the host is told that nothing is wanted", func() bool { return !h.System().Wanted() })
	if is.Wanted != nil {
		t.Errorf("taken back: %+v", is.Wanted)
	}
	var audit operator.List[operator.Audit]
	c.ok("GET", operator.Prefix+"/audit?limit=20", nil, &audit)
	var seen []string
	for _, a := range audit.Items {
		if a.What == "host.system" && strings.HasPrefix(a.Result, "ok") {
			seen = append(seen, a.Object)
		}
	}
	if got := strings.Join(seen, "; "); !strings.HasPrefix(got, `hosts/infra1 none; hosts/infra1 switch 1.1.0 "spring"`) {
		t.Errorf("on record is %s", got)
	}
}
