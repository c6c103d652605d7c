package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestNotices(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, []string{"hardnode.dev/internal/run"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The Go programming language", "golang.org/x/sync v",
		"Redistribution and use in source and binary forms"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the notices", want)
		}
	}
}

func TestModuleWithoutLicence(t *testing.T) {
	if _, err := licences(t.TempDir()); err == nil {
		t.Error("a folder without a licence file was accepted")
	}
}
