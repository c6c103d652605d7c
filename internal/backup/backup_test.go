package backup

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"hardnode.dev/internal/backup/sealed"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/btrfs/stream"
	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
)

func TestGolden(t *testing.T) {
	golden.Wire[Manifest](t, "manifest")
	golden.Wire[Cut](t, "cut")
}

// sample is a real stream of the kernel's, and what it makes.
func sample(t *testing.T) ([]byte, btrfs.Identity) {
	t.Helper()
	raw, err := os.ReadFile("../disk/btrfs/stream/testdata/v2.stream")
	if err != nil {
		t.Fatal(err)
	}
	is, _, err := stream.Check(t.Context(), bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return raw, is
}

// sent is a backup as a host sends it, for a key that a file has: what is behind the bytes that the asker has.
func sent(t *testing.T, keyFile string, plain []byte, there *backup.Resume) []byte {
	t.Helper()
	var to *age.X25519Recipient
	if keys, err := Keys(keyFile); err != nil {
		t.Fatal(err)
	} else {
		to = keys[0].(*age.X25519Identity).Recipient()
	}
	var out bytes.Buffer
	w := &sealed.Writer{To: to, Secret: []byte("secret"), Begin: func() error { return nil }}
	if there != nil {
		w.Skip, w.Had = there.Bytes, there.Mark
	}
	w.Out(&out)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// places are a directory and a store, both empty.
func places(t *testing.T) map[string]Place {
	dir, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Place{"directory": dir, "s3": fakeStore(t, "backups/of-here")}
}

// TestSaveAndReadBack: what is saved is listed, comes back, and is found sound; with another key it can't be read; whatever is changed,
// missing or put in another's place is found.
func TestSaveAndReadBack(t *testing.T) {
	plain, is := sample(t)
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			ctx, tmp := t.Context(), t.TempDir()
			recipient, err := NewKey(filepath.Join(tmp, "key"))
			if err != nil {
				t.Fatal(err)
			}
			b := sent(t, filepath.Join(tmp, "key"), slices.Concat(plain, plain), nil)
			head := backup.Head{ID: "20261127-101502", Node: 101, Taken: time.Unix(1000, 0).UTC(), Parts: []backup.Part{{Is: is},
				{Volume: "data", Is: is}}}
			m, err := Save(ctx, p, head, recipient, bytes.NewReader(b), Cut{})
			if err != nil || len(m.Chunks) != 1 {
				t.Fatalf("%d chunks, %v", len(m.Chunks), err)
			}
			_, err = Save(ctx, p, head, recipient, bytes.NewReader(b), Cut{})
			if err == nil || !strings.Contains(err.Error(), "there already") {
				t.Errorf("a second time: %v", err)
			}
			list, err := List(ctx, p, 0)
			if err != nil || len(list) != 1 || list[0].ID != head.ID || list[0].Bytes != m.Bytes || m.Bytes <= int64(2*len(plain)) {
				t.Fatalf("listed %+v, %v", list, err)
			}
			keys, err := Keys(filepath.Join(tmp, "key"))
			if err != nil {
				t.Fatal(err)
			}
			r, err := Decrypt(ctx, p, list[0], keys)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, slices.Concat(plain, plain)) {
				t.Errorf("read back %d bytes of %d, %v", len(got), 2*len(plain), err)
			}
			for _, k := range [][]age.Identity{nil, keys} {
				if err := Verify(ctx, p, m, k); err != nil {
					t.Errorf("with %d keys: %v", len(k), err)
				}
			}
			other, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			if err := Verify(ctx, p, m, []age.Identity{other}); err == nil || !strings.Contains(err.Error(), "nobody can read it") {
				t.Errorf("with another key: %v", err)
			}
			for what, c := range map[string]struct {
				change func(m *Manifest)
				want   string
			}{
				"another part": {func(m *Manifest) { m.Parts[1].Is.Transid++ }, "holds"},
				"a part less":  {func(m *Manifest) { m.Parts = m.Parts[:1] }, "behind its end"},
				"a part more": {func(m *Manifest) { m.Parts = append(m.Parts, backup.Part{Volume: "x", Is: is}) },
					"ends in the middle"},
				"a chunk twice":     {func(m *Manifest) { m.Chunks = append(m.Chunks, m.Chunks[0]) }, "000001-"},
				"no chunk":          {func(m *Manifest) { m.Chunks = nil }, "ends in the middle"},
				"a chunk too long":  {func(m *Manifest) { m.Chunks[0].Bytes-- }, "has more than"},
				"a chunk too short": {func(m *Manifest) { m.Chunks[0].Bytes++ }, "not what was written"},
			} {
				bad := m
				bad.Parts, bad.Chunks = slices.Clone(m.Parts), slices.Clone(m.Chunks)
				c.change(&bad)
				if err := Verify(ctx, p, bad, keys); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: got %v, want %q", what, err, c.want)
				}
			}
			if err := p.Put(ctx, m.chunk(0), []byte("other")); err != nil {
				t.Fatal(err)
			}
			want := "101/20261127-101502/000000-" + m.Chunks[0].Sum[:16] + ".age is not what was written"
			if err := Verify(ctx, p, m, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a chunk was changed: %v", err)
			}
			if err := p.Delete(ctx, m.chunk(0)); err != nil {
				t.Fatal(err)
			}
			if err := Verify(ctx, p, m, nil); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a chunk is gone: %v", err)
			}
		})
	}
}

// TestCut: a backup that did not come to its end is none; what is there and right of it is not sent again.
func TestCut(t *testing.T) {
	_, is := sample(t)
	plain := make([]byte, 2*sealed.Segment+100)
	for i := range plain {
		plain[i] = byte(i >> 10)
	}
	key := filepath.Join(t.TempDir(), "key")
	recipient, err := NewKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := Keys(key)
	if err != nil {
		t.Fatal(err)
	}
	frames := sent(t, key, plain, nil)
	for name, p := range places(t) {
		ctx := t.Context()
		head := backup.Head{ID: "1", Node: 101, Parts: []backup.Part{{Is: is}}}
		broke := errors.New("the host is gone")
		cut := func(n int) Cut {
			t.Helper()
			r := io.MultiReader(bytes.NewReader(frames[:n]), failing{broke})
			if _, err := Save(ctx, p, head, recipient, r, Cut{}); !errors.Is(err, broke) {
				t.Errorf("%s: cut behind %d: %v", name, n, err)
			}
			if list, err := List(ctx, p, 0); err != nil || len(list) != 0 {
				t.Errorf("%s: cut behind %d: %d are there, %v", name, n, len(list), err)
			}
			cuts, err := Cuts(ctx, p, 101)
			if err != nil {
				t.Fatal(err)
			}
			if len(cuts) == 0 {
				return Cut{}
			}
			if err := cuts[0].Look(ctx, p); err != nil {
				t.Fatal(err)
			}
			return cuts[0]
		}
		if c := cut(2500); c.Resume() != nil {
			t.Errorf("%s: of no chunk there is %+v", name, c)
		}
		if _, err := Save(ctx, p, head, "age1", bytes.NewReader(nil), Cut{}); err == nil {
			t.Errorf("%s: nothing is a backup", name)
		}
		c := cut(len(frames) - 1)
		if c.Resume() == nil || c.Resume().Bytes != 2*sealed.Segment {
			t.Fatalf("%s: there is %+v", name, c.Resume())
		}
		if err := p.Put(ctx, c.chunk(1), []byte("other")); err != nil { // it is sent again
			t.Fatal(err)
		}
		if err := c.Look(ctx, p); err != nil || c.Resume() == nil || c.Resume().Bytes != sealed.Segment {
			t.Fatalf("%s: there is %+v, %v", name, c.Resume(), err)
		}
		rest := sent(t, key, plain, c.Resume())
		head.Resumed = sealed.Segment
		_, err := Save(ctx, p, head, recipient, bytes.NewReader(rest), Cut{})
		if err == nil || !strings.Contains(err.Error(), "not there") {
			t.Errorf("%s: behind what is not there: %v", name, err)
		}
		m, err := Save(ctx, p, head, recipient, bytes.NewReader(rest), c)
		if err != nil || len(m.Chunks) != 3 || m.Resumed != 0 {
			t.Fatalf("%s: %d chunks, %v", name, len(m.Chunks), err)
		}
		r, err := Decrypt(ctx, p, m, keys)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: read back %d bytes of %d, %v", name, len(got), len(plain), err)
		}
		if cuts, err := Cuts(ctx, p, 0); err != nil || len(cuts) != 0 {
			t.Errorf("%s: still cut: %+v, %v", name, cuts, err)
		}
		if err := Delete(ctx, p, 101, "1"); err != nil {
			t.Fatal(err)
		}
		if names, err := p.List(ctx, ""); len(names) != 0 || err != nil {
			t.Errorf("%s: left %q, %v", name, names, err)
		}
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// TestChain: a backup is found with all that it goes on from; what does not fit together is said.
func TestChain(t *testing.T) {
	_, is := sample(t)
	at := func(n byte) btrfs.Identity { return btrfs.Identity{UUID: btrfs.UUID{n}, Transid: uint64(n)} }
	p := places(t)["directory"]
	one := Chunk{strings.Repeat("0", 64), 1}
	put := func(id, before backup.ID, node wire.CTID, parts ...backup.Part) {
		t.Helper()
		m := Manifest{Version: 1, Head: backup.Head{ID: id, Before: before, Node: node, Parts: parts}, Bytes: 1,
			Chunks: []Chunk{one}}
		if err := save(t.Context(), p, m); err != nil {
			t.Fatal(err)
		}
	}
	put("1", "", 100, backup.Part{Is: at(1)})
	put("2", "1", 100, backup.Part{Is: at(2), From: at(1)}, backup.Part{Volume: "new", Is: is})
	put("3", "2", 100, backup.Part{Is: at(3), From: at(2)}, backup.Part{Volume: "new", Is: at(4), From: is})
	put("4", "2", 100, backup.Part{Is: at(3), From: at(1)})
	put("5", "9", 100, backup.Part{Is: at(3), From: at(1)})
	put("6", "6", 100, backup.Part{Is: at(6), From: at(6)})
	chain, err := Chain(t.Context(), p, 100, "3")
	if err != nil || len(chain) != 3 || chain[0].ID != "1" || chain[2].ID != "3" {
		t.Errorf("got %+v, %v", chain, err)
	}
	put("7", "", 100, backup.Part{Is: at(1)})
	raw, err := p.Get(t.Context(), dir(100, "7")+manifest, maxManifest)
	if err != nil {
		t.Fatal(err)
	}
	later := bytes.Replace(raw, []byte(`"version":1`), []byte(`"version":3`), 1)
	if err := p.Put(t.Context(), dir(100, "7")+manifest, later); err != nil {
		t.Fatal(err)
	}
	if err := p.Put(t.Context(), dir(100, "8")+manifest, []byte(`no json`)); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[backup.ID]string{"4": "does not hold", "5": "goes on from another one", "6": "more than 255 others",
		"7": "use a newer hnctl", "8": "can't be read", "9": "no such backup", "../x": "want one that is listed"} {
		if _, err := Chain(t.Context(), p, 100, id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("backup %s: got %v, want %q", id, err, want)
		}
	}
	list, err := List(t.Context(), p, 100)
	if len(list) != 6 || err == nil || !strings.Contains(err.Error(), "backup 7") || !strings.Contains(err.Error(), "backup 8") {
		t.Errorf("listed %d, %v", len(list), err)
	}
}

// TestKey: a key is made once, and what is none is said.
func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := NewKey(path); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if _, err := NewKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second one: %v", err)
	}
	if err := os.WriteFile(path, []byte("age1notakey\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Keys(path); err == nil || !strings.Contains(err.Error(), "age-keygen") {
		t.Errorf("no key: %v", err)
	}
}

// TestOpen: what is no place is refused, with what is wanted.
func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
	for _, c := range []struct {
		name, endpoint, want string
		no                   bool
	}{
		{file, "", "no directory", false}, {file + "x", "", "make it first", false}, {"s3://", "", "want s3://BUCKET", false},
		{"s3://b/p", "", "set AWS_ACCESS_KEY_ID", true}, {"s3://b/p", "x.example.com", "want such as https", false},
		{"s3://b/p?x=1", "", "want s3://BUCKET", false}, {"s3://b/a b", "", "letters", false}, {"s3://b/p", "", "", false},
	} {
		_, err := Open(c.name, func(name string) string {
			if name == "AWS_ENDPOINT_URL" {
				return c.endpoint
			}
			if c.no {
				return ""
			}
			return env[name]
		})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
