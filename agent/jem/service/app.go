package service

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/jem"
)

// processes reads a /proc (proc(5)); those of this program itself are left out, and what ends meanwhile is skipped.
func processes(proc fs.FS, name string) ([]jem.Service, error) {
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	self, _ := fs.ReadFile(proc, "self/stat")
	own, _, _ := bytes.Cut(self, []byte(" "))
	var list []jem.Service
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || e.Name() == string(own) {
			continue
		}
		raw, err := fs.ReadFile(proc, e.Name()+"/status")
		if err != nil {
			continue
		}
		s := processStatus(raw)
		s.PID = pid
		if cmd, err := fs.ReadFile(proc, e.Name()+"/cmdline"); err == nil {
			s.Description = strings.TrimSpace(string(bytes.ReplaceAll(cmd, []byte{0}, []byte(" "))))
		}
		if name == "" || s.Name == name {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b jem.Service) int { return a.PID - b.PID })
	return list, nil
}

// processStatus reads name, state and resident memory of a /proc/<pid>/status.
func processStatus(raw []byte) jem.Service {
	s := jem.Service{State: "active"}
	for line := range strings.Lines(string(raw)) {
		k, v, _ := strings.Cut(line, ":")
		v = strings.TrimSpace(v)
		switch k {
		case "Name":
			s.Name = v
		case "State":
			s.Sub, _, _ = strings.Cut(v, " ")
		case "VmRSS":
			if kb, err := strconv.ParseInt(strings.TrimSuffix(v, " kB"), 10, 64); err == nil {
				s.MemoryBytes = kb << 10
			}
		}
	}
	return s
}
