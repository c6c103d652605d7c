package api

import (
	"bytes"
	"flag"
	"os"
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
