package platform

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/patcher/rollout"
)

// A host whose programs were replaced boots once to be back on what it ran before: the next boot is from the slot that was booted, not from
// the release's. What can't be asked for that is not booted.
func TestRebootIsFromWhatWasBooted(t *testing.T) {
	var asked []string
	refuses := false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimPrefix(r.URL.Path, operator.Prefix+"/hosts/h-1/")+" "+string(body))
		if refuses {
			operator.WriteProblem(w, operator.NewProblem(operator.Unavailable, "hosts/h1", "nothing reaches it", ""))
			return
		}
		io.WriteString(w, "{}")
	}))
	defer s.Close()
	c := &Client{servers: []string{s.URL}, http: s.Client()}
	reboot := func() error {
		asked = nil
		_, err := c.Do(t.Context(), rollout.Action{Do: rollout.Reboot, Host: "h-1"}, Order{Rollout: "ro-1", Release: "1.1.0"})
		return err
	}
	if err := reboot(); err != nil {
		t.Fatal(err)
	}
	want := []string{`slots {"action":"stay"}`, `reboot {"reason":"rollout ro-1 of release 1.1.0 is taken back"}`}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	refuses = true
	if err := reboot(); err == nil || len(asked) != 1 {
		t.Errorf("refused the slot, it asked %q: %v", asked, err)
	}
}
