// This file lets the package declare functions without bodies (fork_linux.go).
