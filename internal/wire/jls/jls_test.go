package jls_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/jls"
)

var head = jls.Head{Installation: "in-0123456789abcdef", Seq: 1}

func TestSealAndCheck(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jls.Seal(jls.PathLease, key, jls.Renew{Head: head})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(jls.PathLease, pub); err != nil {
		t.Error(err)
	}
	if err := s.Check(jls.PathSeats, pub); !errors.Is(err, jls.ErrSignature) {
		t.Errorf("sealed for another path: got %v", err)
	}
	if err := s.Check(jls.PathLease, nil); !errors.Is(err, jls.ErrSignature) {
		t.Errorf("no key: got %v", err)
	}
	s.Body = append(s.Body, ' ')
	if err := s.Check(jls.PathLease, pub); !errors.Is(err, jls.ErrSignature) {
		t.Errorf("changed body: got %v", err)
	}
	got, err := jls.DecodeRenew(s.Body)
	if err != nil || got.Head != head {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	const in = `"installation":"in-0123456789abcdef","seq":1`
	renew := func(b string) error { _, err := jls.DecodeRenew([]byte(b)); return err }
	seats := func(b string) error { _, err := jls.DecodeSeats([]byte(b)); return err }
	activate := func(b string) error { _, err := jls.DecodeActivate([]byte(b)); return err }
	for _, c := range []struct {
		name   string
		decode func(string) error
		body   string
		want   string
	}{
		{"no version", renew, `{` + in + `}`, `"version" is missing`},
		{"data after the end", renew, `{` + in + `,"version":""}{}`, "more behind"},
		{"no seq", renew, `{"installation":"in-0123456789abcdef","seq":0,"version":""}`, "seq 0"},
		{"bad installation", renew, `{"installation":"x","seq":1,"version":""}`, `"x"`},
		{"long text", renew, `{` + in + `,"version":"` + strings.Repeat("x", 201) + `"}`, "201"},
		{"host twice", seats, `{` + in + `,"hosts":[{"host":"h-000000000001","name":"a"},{"host":"h-000000000001","name":"b"}]}`, "twice"},
		{"bad host", seats, `{` + in + `,"hosts":[{"host":"a","name":"a"}]}`, "hosts[0]"},
		{"short key", activate, `{` + in + `,"key":"AAAA","license":"","cluster":"cl-0123456789abcdef","name":"x","version":""}`,
			"3 bytes"},
		{"bad cluster", activate, `{` + in + `,"key":"","license":"","cluster":"x","name":"","version":""}`, "cluster id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.decode(c.body); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error naming %q", err, c.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"installation":"in-0123456789abcdef","seq":1,"hosts":[{"host":"h-000000000001","name":"a"}]}`))
	f.Add([]byte(`{"installation":"in-0123456789abcdef","seq":1,"version":"0.1.0"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if s, err := jls.DecodeSeats(body); err == nil && (s.Seq < 1 || s.Installation.Validate() != nil) {
			t.Errorf("accepted %+v", s)
		}
		if r, err := jls.DecodeRenew(body); err == nil && r.Seq < 1 {
			t.Errorf("accepted %+v", r)
		}
		if a, err := jls.DecodeActivate(body); err == nil && len(a.Key) != ed25519.PublicKeySize {
			t.Errorf("accepted %+v", a)
		}
	})
}
