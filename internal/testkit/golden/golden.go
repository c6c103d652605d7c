// Package golden holds the types that travel between programs, or are kept on disk, to the forms they have had.
//
// Owns: the files testdata/golden/NAME.N.json of a package: one for each form a type has had, the last one the form it has now.
// In: a type, and the name of its files.
// Out: test failures: a form that is not in a file yet, one that is not read any more, a field that got lost, an unknown field that hurts.
// Never: changes a file that is there: programs in the field speak that form. `make golden` writes the next one beside it.
package golden

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/internal/wire/neighbour"
)

// update is set to write the present form of a type as the next golden file, where it is not the last one's.
var update = os.Getenv("GOLDEN_UPDATE") != ""

// Wire checks a type that travels between programs of neighbouring versions.
func Wire[T any](t *testing.T, name string) {
	t.Helper()
	t.Run(name, func(t *testing.T) { check[T](t, name) })
}

// Kept checks a type that is kept on disk and changed in place: what a later program wrote stays in it too.
func Kept[T any](t *testing.T, name string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		now := check[T](t, name)
		later := inject(t, now)
		out, err := neighbour.Carry[T](later, now)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := canonical(t, out), canonical(t, later); !bytes.Equal(got, want) {
			t.Errorf("a rewrite loses fields of a later program: it writes\n%s\nwant\n%s\n"+
				"give the elements of lists a field id, ctid, host, name, path, object or to", got, want)
		}
	})
}

// check is what both have in common. It gives back the present form, with every field set.
func check[T any](t *testing.T, name string) []byte {
	t.Helper()
	value := Example[T]()
	now, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		t.Fatalf("encode the example: %v", err)
	}
	now = append(now, '\n')
	forms := read(t, name)
	if len(forms) == 0 || !bytes.Equal(forms[len(forms)-1], now) {
		next := path(name, len(forms)+1)
		if !update {
			t.Errorf("the form is another one than that of the last golden file; if that is meant, and new fields have omitempty: `make "+
				"golden` writes %s", next)
		} else if err := write(next, now); err != nil {
			t.Fatal(err)
		}
	}
	for i, form := range forms { // this program reads what each earlier one wrote
		var v T
		if err := neighbour.Decode(form, &v); err != nil {
			t.Errorf("%s is not read any more: %v", path(name, i+1), err)
			continue
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if lost := missing(t, form, again); lost != "" {
			t.Errorf("%s: the field %s is lost", path(name, i+1), lost)
		}
	}
	var v T // and what a later one will write
	if err := neighbour.Decode(inject(t, now), &v); err != nil {
		t.Errorf("unknown fields are not let pass: %v", err)
	} else if got, want := canonical(t, text(t, v)), canonical(t, now); !bytes.Equal(got, want) {
		t.Errorf("unknown fields change what is read:\n%s\nwant\n%s", got, want)
	}
	return now
}

func path(name string, n int) string {
	return filepath.Join("testdata", "golden", fmt.Sprintf("%s.%d.json", name, n))
}

// read gives the forms in order.
func read(t *testing.T, name string) (forms [][]byte) {
	for n := 1; ; n++ {
		raw, err := os.ReadFile(path(name, n))
		if os.IsNotExist(err) {
			return forms
		}
		if err != nil {
			t.Fatal(err)
		}
		forms = append(forms, raw)
	}
}

func write(path string, raw []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}
