//go:build unix

package session

import (
	"os"
	"os/signal"
	"syscall"
)

// watchSize tells each change of the terminal's size.
func watchSize(to chan<- os.Signal) { signal.Notify(to, syscall.SIGWINCH) }
