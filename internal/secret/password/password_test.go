package password

import (
	"errors"
	"strings"
	"testing"
)

func TestKeepAndIs(t *testing.T) {
	kept, err := Keep("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Keep("correct horse"); again == kept || !strings.HasPrefix(kept, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("got %s, then %s", kept, again)
	}
	for typed, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false, strings.Repeat("x", 1<<20): false} {
		if got, err := Is(kept, typed); err != nil || got != want {
			t.Errorf("%.20q: got %v, %v", typed, got, err)
		}
	}
	for _, typed := range []string{"short", strings.Repeat("x", MaxLength+1)} {
		if _, err := Keep(typed); err == nil {
			t.Errorf("%.20q: no error", typed)
		}
	}
}

// TestForms: what is no kept password, or would cost too much to compare, is refused before anything is spent on it.
func TestForms(t *testing.T) {
	kept, _ := Keep("correct horse")
	for _, bad := range []string{
		"", "correct horse", "$argon2id$", "$2a$10$abcdefghijklmnopqrstuv",
		strings.Replace(kept, "argon2id", "argon2i", 1),
		strings.Replace(kept, "v=19", "v=16", 1),
		strings.Replace(kept, "m=19456", "m=1048576", 1), // a gibibyte
		strings.Replace(kept, "m=19456", "m=8", 1),
		strings.Replace(kept, "m=19456", "m=019456", 1),
		strings.Replace(kept, "t=2", "t=0", 1),
		strings.Replace(kept, "t=2", "t=4000000000", 1),
		strings.Replace(kept, "p=1", "p=0", 1),
		strings.Replace(kept, "p=1", "p=1,x=1", 1),
		kept + "$more", kept + "=", kept[:len(kept)-30], strings.Replace(kept, "$", "", 1),
	} {
		if _, err := Is(bad, "correct horse"); !errors.Is(err, ErrForm) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

func FuzzIs(f *testing.F) {
	f.Add("$argon2id$v=19$m=8192,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA")
	f.Add("$argon2id$v=19$m=,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, kept string) {
		if strings.Count(kept, "$") == 5 && len(kept) > 200 {
			t.Skip()
		}
		if ok, _ := Is(kept, "something else entirely"); ok {
			t.Errorf("%q is the password", kept)
		}
	})
}
