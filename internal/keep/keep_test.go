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
