package harness

import (
	"errors"
	"io"
	"testing"
	"time"
)

// What a VM sent before its end is read, also when QEMU has ended before it was.
func TestLastEventOfAnEndedVM(t *testing.T) {
	console, _ := console(t, false)
	vm := &VM{Console: console, events: newEventLog(), done: make(chan struct{})}
	ended := make(chan struct{})
	go func() { vm.events.finish(ErrEnded); close(ended) }()
	r, w := io.Pipe()
	go vm.events.read(r, time.Now())
	if _, err := io.WriteString(w, `{"kind":"exit","data":"ok"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	e, err := vm.WaitEvent(t.Context(), "exit")
	if err != nil || e.Text() != "ok" {
		t.Errorf("got %+v, %v", e, err)
	}
	w.Close()
	<-ended
	if _, err := vm.WaitEvent(t.Context(), "more"); !errors.Is(err, ErrEnded) {
		t.Errorf("after the end: %v, want %v", err, ErrEnded)
	}
}
