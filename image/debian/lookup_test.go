package debian

import (
	"os"
	"path/filepath"
	"testing"
)

func TestQuestionChangesWithAptsState(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "deb.example.org_Packages")
	write := func(s string) string {
		t.Helper()
		if err := os.WriteFile(list, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		return question(stateOf([]string{dir + "/*"}), "apt-cache", []string{"depends", "x"})
	}
	first := write("one")
	if again := question(stateOf([]string{dir + "/*"}), "apt-cache", []string{"depends", "x"}); again != first {
		t.Error("the same question has another name the second time")
	}
	if write("longer") == first {
		t.Error("a new package list leaves the old answer in force")
	}
	if question(stateOf([]string{dir + "/*"}), "apt-cache", []string{"depends", "y"}) == question(stateOf([]string{dir + "/*"}),
		"apt-cache", []string{"depends", "x"}) {
		t.Error("two questions have one name")
	}
}

func TestLookUpAsksOnce(t *testing.T) {
	dir := t.TempDir()
	a := Archive{Cache: dir}
	script := filepath.Join(dir, "apt-fake")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho x >>"+dir+"/calls\necho answer\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		out, err := a.lookUp(t.Context(), script, "q")
		if err != nil || string(out) != "answer\n" {
			t.Errorf("got %q, %v", out, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "calls")); err != nil || string(b) != "x\n" {
		t.Errorf("asked %q times, %v, want once", b, err)
	}
	if _, err := a.lookUp(t.Context(), "/no/such/program"); err == nil {
		t.Error("a failed question has an answer")
	}
}
