package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintsASecret(t *testing.T) {
	type holder struct {
		T Text
		B Bytes
	}
	h := holder{T: "hunter2", B: Bytes("hunter2")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "t", h.T, "b", h.B)
	for _, s := range []string{
		fmt.Sprint(h), fmt.Sprintf("%v %+v %#v", h, h, h), fmt.Sprintf("%s %q %x %d", h.T, h.T, h.T, h.T),
		fmt.Sprintf("%s %q %x %v", h.B, h.B, h.B, h.B), h.T.String(), h.B.String(), log.String(),
	} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, fmt.Sprintf("%x", "hunter2")) || strings.Contains(s, "104 117") {
			t.Errorf("a secret was printed: %q", s)
		}
	}
}

func TestJSONCarriesASecret(t *testing.T) {
	in := struct {
		T Text
		B Bytes
	}{"a", Bytes{1, 2}}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out := in
	out.T, out.B = "", nil
	if err := json.Unmarshal(raw, &out); err != nil || out.T != "a" || !out.B.Equal(in.B) {
		t.Errorf("got %s back as %q %x, %v", raw, out.T.Reveal(), out.B.Reveal(), err)
	}
}
