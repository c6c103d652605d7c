package keep

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

type doc struct{ A, B int }

func TestLoadSave(t *testing.T) {
	d := Doc[doc]{Path: filepath.Join(t.TempDir(), "x.json"), Version: 1}
	if _, found, err := d.Load(); found || err != nil {
		t.Fatalf("missing: got found %v, %v", found, err)
	}
	if err := d.Save(doc{1, 2}); err != nil {
		t.Fatal(err)
	}
	if got, found, err := d.Load(); got != (doc{1, 2}) || !found || err != nil {
		t.Fatalf("got %v %v %v", got, found, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(d.Path), ".x*")); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

// TestLoadRemovesWhatACutOffSaveLeft, and nothing else.
func TestLoadRemovesWhatACutOffSaveLeft(t *testing.T) {
	d := Doc[doc]{Path: filepath.Join(t.TempDir(), "x.json"), Version: 1}
	if err := d.Save(doc{1, 2}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".x.json.123456789", ".x.json.own", ".other.json.1", ".x.json"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(d.Path), name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, found, err := d.Load(); got != (doc{1, 2}) || !found || err != nil {
		t.Errorf("got %v %v %v", got, found, err)
	}
	var left []string
	entries, _ := os.ReadDir(filepath.Dir(d.Path))
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{".other.json.1", ".x.json", ".x.json.own", "x.json"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}

func TestUnreadableIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	v2 := Doc[doc]{Path: filepath.Join(dir, "x"), Version: 2, Upgrade: []func(json.RawMessage) (json.RawMessage, error){nil}}
	v1 := Doc[doc]{Path: v2.Path, Version: 1}
	if err := v2.Save(doc{1, 2}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v1.Load(); !errors.Is(err, ErrNewer) {
		t.Errorf("load of a newer document: got %v, want ErrNewer", err)
	}
	if err := v1.Save(doc{}); !errors.Is(err, ErrNewer) {
		t.Errorf("save over a newer document: got %v, want ErrNewer", err)
	}
	raw, _ := os.ReadFile(v2.Path)
	os.WriteFile(v2.Path, bytes.Replace(raw, []byte(`"A":1`), []byte(`"A":7`), 1), 0o600)
	if _, _, err := v2.Load(); !errors.Is(err, ErrDamaged) {
		t.Errorf("load of a changed document: got %v, want ErrDamaged", err)
	}
	if err := v2.Save(doc{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("save over a damaged document: got %v, want ErrDamaged", err)
	}
}

func TestUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := (Doc[map[string]int]{Path: path, Version: 1}).Save(map[string]int{"a": 3}); err != nil {
		t.Fatal(err)
	}
	v2 := Doc[doc]{Path: path, Version: 2, Upgrade: []func(json.RawMessage) (json.RawMessage, error){
		func(b json.RawMessage) (json.RawMessage, error) {
			var old map[string]int
			if err := json.Unmarshal(b, &old); err != nil {
				return nil, err
			}
			return json.Marshal(doc{A: old["a"], B: 9})
		},
	}}
	if got, _, err := v2.Load(); got != (doc{3, 9}) || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// Renew sets a damaged document aside and lets the next Save begin anew; one of a later version stays.
func TestRenew(t *testing.T) {
	d := Doc[doc]{Path: filepath.Join(t.TempDir(), "x"), Version: 1}
	if _, found, err := d.Renew(); found || err != nil {
		t.Errorf("none: %v, %v", found, err)
	}
	os.WriteFile(d.Path, []byte("half"), 0o600)
	if v, found, err := d.Renew(); v != (doc{}) || found || !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged one: %v, %v, %v", v, found, err)
	}
	if raw, err := os.ReadFile(d.Path + ".damaged"); string(raw) != "half" {
		t.Errorf("set aside: %q, %v", raw, err)
	}
	if err := d.Save(doc{1, 2}); err != nil {
		t.Error(err)
	}
	if v, found, err := d.Renew(); v != (doc{1, 2}) || !found || err != nil {
		t.Errorf("anew: %v, %v, %v", v, found, err)
	}
	later := d
	later.Version, later.Upgrade = 2, []func(json.RawMessage) (json.RawMessage, error){nil}
	os.Remove(d.Path)
	if err := later.Save(doc{3, 4}); err != nil {
		t.Fatal(err)
	}
	if v, found, err := d.Renew(); v != (doc{}) || found || !errors.Is(err, ErrNewer) {
		t.Errorf("of a later version: %v, %v, %v", v, found, err)
	}
	if v, _, err := later.Load(); v != (doc{3, 4}) || err != nil {
		t.Errorf("the later program finds %v, %v", v, err)
	}
}

// A program is rolled back: the earlier one reads what the later one wrote, rewrites it, and the later one finds its own fields again.
func TestRolledBack(t *testing.T) {
	type part struct {
		Name string `json:"name"`
		Size int    `json:"size,omitempty"`
	}
	type later struct {
		A     int    `json:"a"`
		Extra string `json:"extra,omitempty"`
		Parts []struct {
			part
			Flag bool `json:"flag,omitempty"`
		} `json:"parts,omitempty"`
	}
	type earlier struct {
		A     int    `json:"a"`
		Parts []part `json:"parts,omitempty"`
	}
	path := filepath.Join(t.TempDir(), "x")
	v1 := Doc[earlier]{Path: path, Version: 1}
	v2 := Doc[later]{Path: path, Version: 2, Readers: 1, Upgrade: []func(json.RawMessage) (json.RawMessage, error){
		func(b json.RawMessage) (json.RawMessage, error) { return b, nil },
	}}
	wrote := later{A: 1, Extra: "kept"}
	if err := json.Unmarshal([]byte(`[{"name":"p","size":3,"flag":true},{"name":"q","flag":true}]`), &wrote.Parts); err != nil {
		t.Fatal(err)
	}
	if err := v2.Save(wrote); err != nil {
		t.Fatal(err)
	}
	got, _, err := v1.Load()
	if err != nil || got.A != 1 || len(got.Parts) != 2 {
		t.Fatalf("the earlier program reads %+v, %v", got, err)
	}
	if err := v1.Save(earlier{A: 2, Parts: []part{{"q", 9}}}); err != nil {
		t.Fatal(err)
	}
	back, _, err := v2.Load()
	if text, _ := json.Marshal(back); err != nil || string(text) != `{"a":2,"extra":"kept","parts":[{"name":"q","size":9,"flag":true}]}` {
		t.Errorf("the later program finds %s, %v", text, err)
	}

	v2.Writers = 2
	if err := v2.Save(wrote); err != nil {
		t.Fatal(err)
	}
	if got, _, err := v1.Load(); err != nil || got.A != 1 {
		t.Errorf("a document that may only be read: %+v, %v", got, err)
	}
	if err := v1.Save(earlier{}); !errors.Is(err, ErrNewer) {
		t.Errorf("it is rewritten: got %v, want ErrNewer", err)
	}

	copied := Doc[earlier]{Path: path + ".copy", Version: 1, Sent: true}
	os.WriteFile(copied.Path, must(os.ReadFile(path)), 0o600)
	v2.Path, v2.Writers = copied.Path, 1
	if err := v2.Save(wrote); err != nil {
		t.Fatal(err)
	}
	if err := copied.Save(earlier{A: 5}); err != nil {
		t.Fatal(err)
	}
	if back, _, err := v2.Load(); err != nil || back.Extra != "" || back.A != 5 {
		t.Errorf("a document that was sent anew: %+v, %v, want nothing of the one before", back, err)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
