package machine

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// button waits for the power button (ACPI's is an input device) until ctx ends.
func (m *Machine) button(ctx context.Context) error {
	names, err := filepath.Glob("/dev/input/event*")
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			m.con.Log(err.Error())
			continue
		}
		stop := context.AfterFunc(ctx, func() { f.Close() })
		all.Add(1)
		go func() {
			defer all.Done()
			defer stop()
			event := make([]byte, eventSize)
			for {
				if n, err := f.Read(event); err != nil || n != eventSize {
					return // ctx ended, or the device went
				}
				if pressed(event) {
					m.Ask(powerButton)
				}
			}
		}()
	}
	return nil
}

// struct input_event (linux/input.h) on 64-bit machines: two 8-byte words of time, type, code, value.
const (
	eventSize = 24
	evKey     = 1
	keyPower  = 116
)

func pressed(event []byte) bool {
	return binary.NativeEndian.Uint16(event[16:]) == evKey && binary.NativeEndian.Uint16(event[18:]) == keyPower &&
		binary.NativeEndian.Uint32(event[20:]) == 1
}
