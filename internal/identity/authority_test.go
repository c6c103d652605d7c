package identity

import (
	"bytes"
	"testing"
	"time"
)

// A secret of the authority is the same in each program that has its key, and another one for each purpose and each key.
func TestSecret(t *testing.T) {
	const id = "cl-0123456789abcdef"
	root, err := NewRoot(id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var of [2]*Authority
	for i := range of {
		issuing, err := root.Issue(id, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		of[i] = &Authority{Root: root.Cert, Issuing: issuing, Cluster: id}
	}
	again := *of[0]
	a := of[0].Secret("sums")
	if len(a) != 32 || !bytes.Equal(a, again.Secret("sums")) {
		t.Errorf("the same key and purpose give %x and %x", a, again.Secret("sums"))
	}
	if bytes.Equal(a, of[0].Secret("other")) || bytes.Equal(a, of[1].Secret("sums")) || bytes.Contains(of[0].Issuing.Key, a) {
		t.Error("another purpose, another key or the key itself is the same secret")
	}
}
