package supervise

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ExecHelper becomes the program args names, after setting LISTEN_PID (sd_listen_fds(3)) to its own number. It returns only an error.
func ExecHelper(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("exec with descriptors: no program given")
	}
	if err := os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())); err != nil {
		return fmt.Errorf("exec with descriptors: %v", err)
	}
	return fmt.Errorf("exec %q with descriptors: %v", args[0], unix.Exec(args[0], args, os.Environ()))
}
