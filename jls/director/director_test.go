package director_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
	"hardnode.dev/jls/director"
)

const here = wire.ClusterID("cl-00000000000000aa")

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func key(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func file(release string) issue.Files {
	path := release + "/host.efi"
	return issue.Files{path: {Path: path, Length: 3, Digest: wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(release)))),
		Custom: trust.Custom{Release: release}}}
}

// TestNext: documents are made when something changed or ends soon, and a client follows them, over a change of the online key too.
func TestNext(t *testing.T) {
	root, online := key(t), key(t)
	first, err := director.Root(nil, root, online.Public().(ed25519.PublicKey), now)
	if err != nil {
		t.Fatal(err)
	}
	roots := [][]byte{first}
	anchor := trust.Anchor{Name: trust.Director, Pin: wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(first))), Installation: here}
	var set issue.Set
	var kept trust.Kept
	look := func(at time.Time, want error) trust.Repo {
		t.Helper()
		files, err := director.Files(roots, set)
		if err != nil {
			t.Fatal(err)
		}
		r, next, err := trust.Refresh(context.Background(), trust.Files(files), anchor, kept, at)
		if want == nil && err != nil || !errors.Is(err, want) {
			t.Fatalf("at %s: got %v, want %v", at, err, want)
		}
		kept = next
		return r
	}
	next := func(w director.Wanted, at time.Time) (changed bool) {
		t.Helper()
		was := set
		if set, err = director.Next(set, w, online, at); err != nil {
			t.Fatal(err)
		}
		return !bytes.Equal(was.Timestamp, set.Timestamp)
	}
	one := director.Wanted{Installation: here, Files: file("1.0.0")}
	next(one, now)
	if r := look(now, nil); len(r.Targets) != 1 || r.Targets["1.0.0/host.efi"].Length != 3 {
		t.Errorf("got %+v", r.Targets)
	}
	if next(one, now.Add(time.Hour)) {
		t.Error("documents were made anew within the hour")
	}
	if !next(one, now.Add(25*time.Hour)) {
		t.Error("after a day no new timestamp was made")
	}
	look(now.Add(3*24*time.Hour), nil)
	look(now.Add(5*24*time.Hour), &trust.Refusal{Kind: trust.Expired})
	if !next(director.Wanted{Installation: here, Files: file("1.1.0")}, now.Add(25*time.Hour)) {
		t.Error("another release changes nothing")
	}
	if r := look(now.Add(26*time.Hour), nil); r.Targets["1.1.0/host.efi"].Length != 3 || len(r.Targets) != 1 {
		t.Errorf("got %+v", r.Targets)
	}
	online = key(t)
	second, err := director.Root(roots, root, online.Public().(ed25519.PublicKey), now)
	if err != nil {
		t.Fatal(err)
	}
	roots = append(roots, second)
	next(director.Wanted{Installation: here, Files: file("1.2.0")}, now.Add(27*time.Hour))
	look(now.Add(27*time.Hour), nil)
	next(director.Wanted{Installation: here, Files: file("1.2.0"), Closed: true}, now.Add(28*time.Hour))
	look(now.Add(179*24*time.Hour), nil)
	if _, err := director.Root(roots, key(t), online.Public().(ed25519.PublicKey), now); err == nil {
		t.Error("a stranger made a root")
	}
}
