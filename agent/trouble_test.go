package main

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
)

func TestTrouble(t *testing.T) {
	for _, c := range []struct {
		name   string
		st     host.ContainerStatus
		ct     host.Container
		last   string
		object string
		reason string
		next   string
	}{
		{"a component that exits", host.ContainerStatus{CTID: 3, State: host.CtFailing, Reason: "exited with code 1",
			NextStart: time.Now().Add(4 * time.Second)}, host.Container{Env: "jelastic", Component: "orchestrator"},
			`level=ERROR msg="orchestrator ended" err="open etcd"`, "container 3 (orchestrator)",
			`exited with code 1; it said last: level=ERROR msg="orchestrator ended" err="open etcd"`,
			"it is started again by itself; its log: hnctl node logs 3"},
		{"a node without a word", host.ContainerStatus{CTID: 103, State: host.CtFailing, Reason: "exited with code 9"},
			host.Container{Env: "hello"}, "", "container 103 (hello)", "exited with code 9",
			"it is started again by itself; its log: hnctl node logs 103"},
		{"a wrong image", host.ContainerStatus{CTID: 104, State: host.CtBroken, Reason: "its content has digest sha256:00"},
			host.Container{Env: "torn"}, "", "container 104 (torn)", "its content has digest sha256:00", ""},
		{"one that work does not name", host.ContainerStatus{CTID: 105, State: host.CtFailing, Reason: "why"}, host.Container{},
			strings.Repeat("x", 200) + "the end", "container 105", "why; it said last: …" + strings.Repeat("x", maxWords-7) + "the end",
			"it is started again by itself; its log: hnctl node logs 105"},
	} {
		p := trouble(c.st, c.ct, c.last)
		if p.Object != c.object || p.Reason != c.reason || p.Next != c.next || p.CTID != c.st.CTID {
			t.Errorf("%s: got %+v", c.name, p)
		}
	}
}
