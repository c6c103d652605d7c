package machine

import "testing"

// What is ordered at the host itself has somebody who ordered it, so that the agent does not take it for a system's failing.
func TestOrderedAtHost(t *testing.T) {
	for sig, l := range wishes {
		if l.By == "" || l.Reason == "" {
			t.Errorf("%s: %+v", sig, l)
		}
	}
	if powerButton.By == "" {
		t.Errorf("the power button: %+v", powerButton)
	}
}
