package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"testing"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// The committed description is what the program serves: whoever changes the API sees the difference in the review.
func TestDescriptionIsCommitted(t *testing.T) {
	got, err := Description()
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile("openapi.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the API differs from openapi.json: look at the change, then go test ./orchestrator/api -update")
	}
}

// Each name in a path is taken by its operation: one in an embedded type that is not exported would be empty, and nobody would notice.
func TestPathsAreTaken(t *testing.T) {
	raw, err := Description()
	if err != nil {
		t.Fatal(err)
	}
	type parameter struct{ Name, In string }
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []parameter
			Security    []map[string][]string
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	names, seen := regexp.MustCompile(`\{([^}]+)\}`), 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if len(op.Security) == 0 {
				t.Errorf("%s %s (%s) does not say whether it needs a token", method, path, op.OperationID)
			}
			taken := map[string]bool{}
			for _, p := range op.Parameters {
				taken[p.Name] = p.In == "path" || taken[p.Name]
			}
			for _, m := range names.FindAllStringSubmatch(path, -1) {
				if seen++; !taken[m[1]] {
					t.Errorf("%s %s (%s) does not take %s", method, path, op.OperationID, m[1])
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no path has a name in it")
	}
}
