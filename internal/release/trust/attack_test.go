package trust_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/trust"
)

func versionOf(t *testing.T, raw []byte) int64 {
	t.Helper()
	var m struct {
		Signed struct {
			Version int64 `json:"version"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m.Signed.Version
}

// forge is what an attacker does with go-tuf's own tools: change what is signed, and sign it with what he has.
func forge[T metadata.Roles](t *testing.T, raw []byte, m *metadata.Metadata[T], by ed25519.PrivateKey, change func(*T)) []byte {
	t.Helper()
	m, err := m.FromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	change(&m.Signed)
	if by != nil {
		m.Signatures = nil
		s, err := signature.LoadSigner(by, crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Sign(s); err != nil {
			t.Fatal(err)
		}
	}
	out, err := m.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func image(t *testing.T) (*repository, trust.Kept) {
	t.Helper()
	r := newRepository(t, trust.Image, "")
	r.publish(file("1.0.0/host.efi", "one", "1.0.0"))
	_, kept := look(t, r.files, r.anchor(), trust.Kept{}, now, "")
	return r, kept
}

func TestArbitrarySoftware(t *testing.T) {
	r, kept := image(t)
	evil := file("1.0.0/host.efi", "evil", "1.0.0")
	for what, by := range map[string]ed25519.PrivateKey{"unsigned": nil, "a key of his own": key(t), "the snapshot's key": r.snapshot,
		"the timestamp's key": r.timestamp, "one of the root's keys": r.root[0]} {
		t.Run(what, func(t *testing.T) {
			mine := *r
			mine.t, mine.files = t, r.copied()
			mine.set.Targets = forge(t, r.set.Targets, metadata.Targets(), by, func(m *metadata.TargetsType) {
				m.Version++
				m.Targets["1.0.0/host.efi"].Length = evil.Length
			})
			// the thief of the online keys names his targets with them
			var err error
			if mine.set.Snapshot, err = issue.Snapshot(r.set.Snapshot, mine.set.Targets, "", r.snapshot, now.Add(day)); err != nil {
				t.Fatal(err)
			}
			mine.stamp(now.Add(day))
			look(t, mine.files, r.anchor(), kept, now, trust.Unsigned, "not signed by as many of the right keys")
		})
	}
	t.Run("another file under the name", func(t *testing.T) {
		repo, _ := look(t, r.files, r.anchor(), kept, now, "")
		refused(t, repo.Targets["1.0.0/host.efi"].Holds(evil.Length, evil.Digest), trust.Altered, "1.0.0/host.efi")
	})
}

func TestWrongKeys(t *testing.T) {
	r, kept := image(t)
	for _, c := range []struct {
		file string
		raw  []byte
	}{
		{"timestamp.json", forge(t, r.set.Timestamp, metadata.Timestamp(), r.snapshot, func(m *metadata.TimestampType) { m.Version++ })},
		{"1.snapshot.json", forge(t, r.set.Snapshot, metadata.Snapshot(), r.timestamp, func(*metadata.SnapshotType) {})},
	} {
		files := r.copied()
		files[c.file] = c.raw
		want := trust.Unsigned
		if c.file == "1.snapshot.json" {
			want = trust.Mixed // the timestamp names its digest, which comes first
		}
		look(t, files, r.anchor(), trust.Kept{}, now, want, c.file)
	}
	files := r.copied()
	foreign := newRepository(t, trust.Image, "")
	foreign.publish(file("1.0.0/host.efi", "one", "1.0.0"))
	look(t, foreign.files, r.anchor(), trust.Kept{}, now, trust.WrongPin, string(r.pin()))
	files["timestamp.json"] = foreign.files["timestamp.json"]
	look(t, files, r.anchor(), kept, now, trust.Unsigned)
}

// TestRootBelowThreshold: one of three holders of root keys, or two of other keys, makes no root.
func TestRootBelowThreshold(t *testing.T) {
	r, kept := image(t)
	next := func(by ed25519.PrivateKey) []byte {
		return forge(t, r.roots[0], metadata.Root(), by, func(m *metadata.RootType) { m.Version = 2 })
	}
	for what, raw := range map[string][]byte{"one key": next(r.root[0]), "a stranger's key": next(key(t)), "none": next(nil)} {
		t.Run(what, func(t *testing.T) {
			files := r.copied()
			files["2.root.json"] = raw
			_, after := look(t, files, r.anchor(), kept, now, trust.Unsigned, "2.root.json")
			if !bytes.Equal(after.Root, kept.Root) {
				t.Error("the refused root is kept")
			}
		})
	}
	t.Run("the same key twice", func(t *testing.T) {
		files := r.copied()
		files["2.root.json"] = bytes.Replace(next(r.root[0]), []byte(`"signatures":[`), append([]byte(`"signatures":[`),
			append(signatures(t, next(r.root[0])), ',')...), 1)
		look(t, files, r.anchor(), kept, now, trust.Damaged, "multiple signatures")
	})
	t.Run("the threshold lowered by the one who signs", func(t *testing.T) {
		files := r.copied()
		files["2.root.json"] = forge(t, r.roots[0], metadata.Root(), r.root[0], func(m *metadata.RootType) {
			m.Version, m.Roles[metadata.ROOT].Threshold = 2, 1
		})
		look(t, files, r.anchor(), kept, now, trust.Unsigned)
	})
}

func signatures(t *testing.T, raw []byte) []byte {
	t.Helper()
	var m struct{ Signatures []json.RawMessage }
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m.Signatures[0]
}

func TestRollback(t *testing.T) {
	r, _ := image(t)
	old := r.copied()
	oldSet := r.set
	r.publish(file("1.1.0/host.efi", "two", "1.1.0"))
	_, kept := look(t, r.files, r.anchor(), trust.Kept{}, now, "")
	t.Run("all of an older state", func(t *testing.T) {
		look(t, old, r.anchor(), kept, now, trust.Older, "timestamp.json", "nothing older")
	})
	t.Run("an older snapshot under a newer timestamp", func(t *testing.T) {
		mine := *r
		mine.t, mine.files, mine.set.Snapshot = t, r.copied(), oldSet.Snapshot
		mine.stamp(now.Add(day)) // with the stolen timestamp key
		look(t, mine.files, r.anchor(), kept, now, trust.Older)
	})
	t.Run("older targets under a newer snapshot", func(t *testing.T) {
		mine := *r
		mine.t, mine.files = t, r.copied()
		var err error
		if mine.set.Snapshot, err = issue.Snapshot(r.set.Snapshot, oldSet.Targets, "", r.snapshot, now.Add(day)); err != nil {
			t.Fatal(err)
		}
		mine.set.Targets = oldSet.Targets
		mine.stamp(now.Add(day)) // with both online keys stolen
		look(t, mine.files, r.anchor(), kept, now, trust.Older, "targets.json")
	})
	t.Run("an older root", func(t *testing.T) {
		r.rotate(r.root[:2]...)
		_, kept := look(t, r.files, r.anchor(), kept, now, "")
		files := r.copied()
		files["3.root.json"] = r.roots[0]
		look(t, files, r.anchor(), kept, now, trust.Older, "3.root.json")
	})
	t.Run("a host that keeps nothing, by what its cluster remembers", func(t *testing.T) {
		a := r.anchor()
		a.Floor = trust.Versions{Root: 1, Timestamp: 2, Snapshot: 2, Targets: 2}
		look(t, r.files, a, trust.Kept{}, now, "")
		look(t, old, a, trust.Kept{}, now, trust.Older, "seen in this cluster before")
	})
}

// TestFreeze: an attacker who plays the same metadata for ever is found out when it ends; what was believed stays.
func TestFreeze(t *testing.T) {
	r, kept := image(t)
	_, after := look(t, r.files, r.anchor(), kept, now.Add(31*day), trust.Expired, "timestamp.json", "2026-12-26", "what runs here goes on")
	if !bytes.Equal(after.Timestamp, kept.Timestamp) || !bytes.Equal(after.Targets, kept.Targets) {
		t.Error("an expiry took away what is kept")
	}
	look(t, r.files, r.anchor(), trust.Kept{}, now.Add(366*day), trust.Expired, "root.json")
	r.stamp(now.Add(60 * day)) // a fresh timestamp over what ends
	look(t, r.files, r.anchor(), kept, now.Add(31*day), trust.Expired, "snapshot.json")
	r.publishUntil(now.Add(60*day), file("1.1.0/host.efi", "two", "1.1.0"))
	look(t, r.files, r.anchor(), kept, now.Add(31*day), "")
	r.set.Targets = forge(t, r.set.Targets, metadata.Targets(), r.targets,
		func(m *metadata.TargetsType) { m.Version++; m.Expires = now.Add(day) })
	var err error
	if r.set.Snapshot, err = issue.Snapshot(r.set.Snapshot, r.set.Targets, "", r.snapshot, now.Add(60*day)); err != nil {
		t.Fatal(err)
	}
	r.stamp(now.Add(60 * day))
	look(t, r.files, r.anchor(), kept, now.Add(31*day), trust.Expired, "targets.json", "2026-11-27")
}

// TestWrongClock: a clock of 1970 is raised by its owner before it comes here; here a late one lets nothing run that ended before the
// newest
// metadata was made, and one of 2038 refuses, says what it believes, and takes nothing away.
func TestWrongClock(t *testing.T) {
	r, kept := image(t)
	_, after := look(t, r.files, r.anchor(), kept, time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC), trust.Expired, "2038-01-19",
		"set the clock")
	look(t, r.files, r.anchor(), after, now, "") // the clock was set
	look(t, r.files, r.anchor(), kept, time.Unix(0, 0), "")
}

// TestFastForward: a thief of the online keys raises the counters as far as they go; new keys in a new root recover from it.
func TestFastForward(t *testing.T) {
	r, kept := image(t)
	files := r.copied()
	const most = 1 << 53
	snap := forge(t, r.set.Snapshot, metadata.Snapshot(), r.snapshot, func(m *metadata.SnapshotType) { m.Version = most })
	files["9007199254740992.snapshot.json"] = snap
	files["timestamp.json"] = forge(t, r.set.Timestamp, metadata.Timestamp(), r.timestamp, func(m *metadata.TimestampType) {
		m.Version = most
		m.Meta["snapshot.json"] = &metadata.MetaFiles{Version: most}
	})
	_, kept = look(t, files, r.anchor(), kept, now, "") // nothing tells it from an honest one
	r.publish(file("1.1.0/host.efi", "two", "1.1.0"))
	look(t, r.files, r.anchor(), kept, now, trust.Older)
	r.snapshot, r.timestamp = key(t), key(t)
	r.rotate(r.root[1:]...)
	r.publish(file("1.1.0/host.efi", "two", "1.1.0"))
	repo, _ := look(t, r.files, r.anchor(), kept, now, "")
	if len(repo.Targets) != 1 || repo.Targets["1.1.0/host.efi"].Length != 3 {
		t.Errorf("after the recovery: %+v", repo.Targets)
	}
}

func TestMixAndMatch(t *testing.T) {
	r, kept := image(t)
	older := r.copied()
	r.publish(file("1.1.0/host.efi", "two", "1.1.0"))
	for what, c := range map[string]struct{ name, from string }{"an older snapshot": {"2.snapshot.json", "1.snapshot.json"},
		"older targets": {"2.targets.json", "1.targets.json"}} {
		t.Run(what, func(t *testing.T) {
			files := r.copied()
			files[c.name] = older[c.from]
			look(t, files, r.anchor(), kept, now, trust.Mixed, c.name, "from one place")
		})
	}
}

// TestPartialBundle: what is held back delays, and lets nothing in.
func TestPartialBundle(t *testing.T) {
	r, kept := image(t)
	r.publish(file("1.1.0/host.efi", "two", "1.1.0"))
	for _, name := range []string{"timestamp.json", "2.snapshot.json", "2.targets.json"} {
		files := r.copied()
		delete(files, name)
		_, after := look(t, files, r.anchor(), kept, now, trust.Unavailable, name+" is missing")
		if !bytes.Equal(after.Timestamp, kept.Timestamp) {
			t.Errorf("%s held back: the timestamp is kept", name)
		}
	}
	look(t, trust.Files{}, r.anchor(), trust.Kept{}, now, trust.Unavailable, "1.root.json is missing")
}

func TestEndlessData(t *testing.T) {
	r, kept := image(t)
	long := bytes.Repeat([]byte(" "), trust.TargetsLimit+1)
	for _, name := range []string{"timestamp.json", "2.root.json"} {
		files := r.copied()
		files[name] = append(long, files[name]...)
		look(t, files, r.anchor(), kept, now, trust.Endless, name)
	}
	r.publish(file("1.1.0/host.efi", "two", "1.1.0"))
	for _, name := range []string{"2.snapshot.json", "2.targets.json"} { // their length is signed
		files := r.copied()
		files[name] = append(files[name], '\n')
		look(t, files, r.anchor(), kept, now, trust.Endless, name)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		for q.Context().Err() == nil { // never ends by itself
			if _, err := w.Write(long); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	look(t, trust.Web{Base: s.URL + "/"}, r.anchor(), trust.Kept{}, now, trust.Endless, "1.root.json")
}

func TestSlowRetrieval(t *testing.T) {
	r, kept := image(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, ".root.json") {
			http.NotFound(w, q)
			return
		}
		w.Write(r.set.Timestamp[:1])
		w.(http.Flusher).Flush()
		<-q.Context().Done()
	}))
	defer s.Close()
	look(t, trust.Web{Base: s.URL + "/", Patience: 3 * time.Second}, r.anchor(), kept, now, trust.Slow, "timestamp.json", "3s")
}

func TestMirrorsAnswers(t *testing.T) {
	r, _ := image(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/moved/1.root.json":
			http.Redirect(w, q, "/good/1.root.json", http.StatusFound)
		case "/broken/1.root.json":
			http.Error(w, "no", http.StatusInternalServerError)
		default:
			raw, ok := r.files[strings.TrimPrefix(q.URL.Path, "/good/")]
			if !ok {
				http.NotFound(w, q)
				return
			}
			w.Write(raw)
		}
	}))
	defer s.Close()
	look(t, trust.Web{Base: s.URL + "/good/"}, r.anchor(), trust.Kept{}, now, "")
	look(t, trust.Web{Base: s.URL + "/moved/"}, r.anchor(), trust.Kept{}, now, trust.Unavailable, "302")
	look(t, trust.Web{Base: s.URL + "/broken/"}, r.anchor(), trust.Kept{}, now, trust.Unavailable, "500")
	s.Close()
	look(t, trust.Web{Base: s.URL + "/good/"}, r.anchor(), trust.Kept{}, now, trust.Unavailable)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	_, _, err := trust.Refresh(ctx, trust.Web{Base: s.URL + "/"}, r.anchor(), trust.Kept{}, now)
	refused(t, err, trust.Unavailable)
}

// TestExtraneous: metadata that asks for more than is done here: delegations, other kinds of keys, paths that lead elsewhere.
func TestExtraneous(t *testing.T) {
	r, kept := image(t)
	with := func(t *testing.T, change func(*metadata.TargetsType)) trust.Files {
		mine := *r
		mine.t, mine.files = t, r.copied()
		mine.set.Snapshot = forge(t, r.set.Snapshot, metadata.Snapshot(), r.snapshot, func(m *metadata.SnapshotType) {
			m.Version++
			m.Meta["targets.json"] = &metadata.MetaFiles{Version: 2}
		})
		mine.stamp(now.Add(day))
		mine.files["2.targets.json"] = forge(t, r.set.Targets, metadata.Targets(), r.targets, func(m *metadata.TargetsType) {
			m.Version++
			change(m)
		})
		return mine.files
	}
	f := func(m *metadata.TargetsType) *metadata.TargetFiles { return m.Targets["1.0.0/host.efi"] }
	for what, change := range map[string]func(*metadata.TargetsType){
		"delegations":       func(m *metadata.TargetsType) { m.Delegations = &metadata.Delegations{} },
		"an empty entry":    func(m *metadata.TargetsType) { m.Targets["x"] = nil },
		"a way up":          func(m *metadata.TargetsType) { m.Targets["../host.efi"] = f(m) },
		"an absolute path":  func(m *metadata.TargetsType) { m.Targets["/host.efi"] = f(m) },
		"no digest":         func(m *metadata.TargetsType) { f(m).Hashes = metadata.Hashes{} },
		"a negative length": func(m *metadata.TargetsType) { f(m).Length = -1 },
		"a length too long": func(m *metadata.TargetsType) { f(m).Length = trust.MaxFile + 1 },
	} {
		t.Run(what, func(t *testing.T) {
			look(t, with(t, change), r.anchor(), kept, now, trust.Damaged)
		})
	}
}

// TestOnlineKeysCrashNothing: who has the online keys can sign documents that lack what go-tuf's verifier takes for granted.
func TestOnlineKeysCrashNothing(t *testing.T) {
	r, kept := image(t)
	for what, change := range map[string]func(*metadata.TimestampType){
		"no snapshot":  func(m *metadata.TimestampType) { m.Meta = map[string]*metadata.MetaFiles{} },
		"an empty one": func(m *metadata.TimestampType) { m.Meta["snapshot.json"] = nil },
		"no version":   func(m *metadata.TimestampType) { m.Version = -1 },
	} {
		t.Run(what, func(t *testing.T) {
			files := r.copied()
			files["timestamp.json"] = forge(t, r.set.Timestamp, metadata.Timestamp(), r.timestamp, func(m *metadata.TimestampType) {
				m.Version++
				change(m)
			})
			look(t, files, r.anchor(), kept, now, trust.Damaged, "timestamp.json")
		})
	}
	files := r.copied()
	files["2.root.json"] = []byte(`{"signed":{"_type":"root","roles":{"root":null},"version":2},"signatures":[]}`)
	look(t, files, r.anchor(), kept, now, trust.Damaged, "2.root.json")
}

// TestAnotherInstallation: the director signs all installations' metadata with the same keys, and each believes its own only.
func TestAnotherInstallation(t *testing.T) {
	mine := newRepository(t, trust.Director, here)
	mine.publish(file("1.0.0/host.efi", "one", ""))
	_, kept := look(t, mine.files, mine.anchor(), trust.Kept{}, now, "")
	theirs := *mine
	theirs.installation, theirs.set, theirs.files = other, issue.Set{}, trust.Files{"1.root.json": mine.roots[0]}
	for range 5 { // so that its counters are ahead
		theirs.publish(file("9.0.0/host.efi", "nine", ""))
	}
	_, after := look(t, theirs.files, mine.anchor(), kept, now, trust.Stranger, string(other), string(here))
	look(t, mine.files, mine.anchor(), after, now, "")
	look(t, mine.files, theirs.anchor(), kept, now, trust.Stranger)
	// only the top of it is ours
	files := mine.copied()
	files["1.snapshot.json"], files["1.targets.json"] = theirs.files["1.snapshot.json"], theirs.files["1.targets.json"]
	look(t, files, mine.anchor(), trust.Kept{}, now, trust.Mixed)
}
