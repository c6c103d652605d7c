package filecopy

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// set gives a file an attribute, or skips the test where there are none.
func set(t *testing.T, at, name, value string) {
	t.Helper()
	err := unix.Setxattr(at, name, []byte(value), 0)
	if errors.Is(err, unix.ENOTSUP) {
		t.Skip("this file system has no attributes")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func attributesOf(t *testing.T, at string) map[string]string {
	t.Helper()
	f, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names, err := listAttributes(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, n := range names {
		if all[n], err = getAttribute(f, n); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
