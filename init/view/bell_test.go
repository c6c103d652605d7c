package view

import (
	"context"
	"os"
	"testing"
	"time"
)

// TestBell: a pipe stands for the device; who reads it is not the one who waits.
func TestBell(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	b, err := newBell(r)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	never := func() bool { return false }
	write := func() {
		if _, err := w.Write([]byte("!")); err != nil {
			t.Error(err)
		}
	}
	take := func() {
		if _, err := r.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
	}
	for range 20 {
		if began := time.Now(); b.wait(t.Context(), 20*time.Millisecond, never) != nil || time.Since(began) < 20*time.Millisecond {
			t.Fatalf("it rang after %s, and nothing came", time.Since(began))
		}
		set := make(chan struct{})
		go func() { // it comes while the bell is set
			<-set
			write()
		}()
		if err := b.wait(t.Context(), time.Hour, func() bool { close(set); return false }); err != nil {
			t.Fatal(err)
		}
		take()
		if err := b.wait(t.Context(), time.Hour, func() bool { return true }); err != nil { // it was late
			t.Fatal(err)
		}
	}
	heard := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { heard <- b.wait(ctx, time.Hour, never) }()
	cancel()
	if err := <-heard; err != nil {
		t.Errorf("ended: %v", err)
	}
}
