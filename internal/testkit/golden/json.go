package golden

import (
	"encoding/json"
	"reflect"
	"strconv"
	"testing"
)

// freeNumber is Free of a map with numbers as keys.
const freeNumber = "101"

// unknown is a field that no program knows.
const unknown = "fieldOfALaterVersion"

func tree(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return v
}

func text(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// canonical is the document with its fields in order.
func canonical(t *testing.T, raw []byte) []byte { return text(t, tree(t, raw)) }

// inject puts an unknown field into every object that has the fields of a type: maps with free keys are none.
func inject(t *testing.T, raw []byte) []byte {
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			free := false
			for k, e := range v {
				free = free || k == Free || k == freeNumber
				walk(e)
			}
			if !free {
				v[unknown] = map[string]any{"a": []any{1, "}"}}
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	v := tree(t, raw)
	walk(v)
	return text(t, v)
}

// missing is the first place of want that got lacks, or has another value at; "" when there is none.
func missing(t *testing.T, want, got []byte) string { return differs(tree(t, want), tree(t, got), "") }

func differs(want, got any, at string) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return at
		}
		for k, e := range w {
			if d := differs(e, g[k], at+"."+k); d != "" {
				return d
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return at
		}
		for i, e := range w {
			if d := differs(e, g[i], at+"["+strconv.Itoa(i)+"]"); d != "" {
				return d
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return at
	}
	return ""
}
