package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hardnode.dev/init/reason"
	"hardnode.dev/init/sys"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/upkeep"
)

// lives is what a host keeps of its boots: this one, for the next to read, and why the last ones came, the newest first.
type lives struct {
	Now  reason.Life   `json:"now"`
	Past []upkeep.Boot `json:"past,omitempty"`
}

var livesDoc = keep.Doc[lives]{Path: boot.StateDir + "/boots.json", Version: 1}

// keptLife is the document in force, and its writes, one after the other: from steps, the watchdog's task, and the end.
type keptLife struct {
	mu struct {
		sync.Mutex
		doc  lives
		open bool // STATE is there, and the document was read
	}
}

// note changes what is kept of this boot, and writes it. Before STATE is there it is only remembered.
func (k *keptLife) note(change func(*reason.Life)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.mu.doc.Now)
	if !k.mu.open {
		return nil
	}
	k.mu.doc.Now.Seen = time.Now().Unix()
	return livesDoc.Save(k.mu.doc)
}

// turn begins this boot's document with why it came, told from the one before.
func (k *keptLife) turn(now time.Time, id string, judge func(before *reason.Life) upkeep.Boot) (upkeep.Boot, []upkeep.Boot, error) {
	old, found, problem := livesDoc.Renew()
	var before *reason.Life
	if found {
		before = &old.Now
	}
	b := judge(before)
	k.mu.Lock()
	defer k.mu.Unlock()
	past := append([]upkeep.Boot{b}, old.Past...)
	k.mu.doc.Past = past[:min(len(past), upkeep.MaxBoots)]
	k.mu.doc.Now.Boot, k.mu.doc.Now.Began, k.mu.doc.Now.Seen = id, now.Unix(), time.Now().Unix()
	k.mu.open = true
	return b, k.mu.doc.Past, errors.Join(problem, livesDoc.Save(k.mu.doc))
}

const (
	pstoreDir = "/sys/fs/pstore"
	// reserved is the memory that the kernel argument reserve_mem keeps for ramoops (image/assemble); two dumps fit.
	reserved = "mem_name=hardnode record_size=32768 console_size=0 ftrace_size=0 pmsg_size=0 max_reason=0"
)

// stepPstore has the kernel keep its last words: in the firmware's variables or, where there are none, in memory that a reboot leaves.
func (m *Machine) stepPstore(context.Context) (string, error) {
	module, params := "ramoops", reserved
	if _, err := os.Stat("/sys/firmware/efi/runtime"); err == nil {
		module, params = "efi_pstore", ""
	}
	err := m.need(module, params)
	backend := pstoreBackend()
	if backend == "" && module == "efi_pstore" { // firmware whose variables can't be written
		err = errors.Join(err, m.need("ramoops", reserved))
		backend = pstoreBackend()
	}
	if backend == "" {
		return "nothing keeps the kernel's last words", err
	}
	return "by " + backend, m.life.note(func(l *reason.Life) { l.Pstore = backend })
}

// pstoreBackend is who keeps the kernel's last words; "" is nobody.
func pstoreBackend() string {
	raw, err := os.ReadFile("/sys/module/pstore/parameters/backend")
	if name := oneWord(raw); err == nil && name != "(null)" {
		return name
	}
	return ""
}

// stepReason tells why the machine was booted, on the console and to the agent, and keeps it.
func (m *Machine) stepReason(context.Context) (string, error) {
	files, problem := readPstore(pstoreDir)
	last := reason.Read(files)
	dog, reset := watchdogState("/sys/class/watchdog/watchdog0")
	began := time.Now().Add(-sys.Uptime())
	b, all, err := m.life.turn(began, m.bootID, func(before *reason.Life) upkeep.Boot {
		return reason.Of(reason.Evidence{Boot: m.bootID, Now: began, Blank: m.data.action == disk.Format, Memory: m.data.action == disk.RAM,
			Before: before, Last: last, Pstore: pstoreBackend(), Reset: reset, Dog: dog})
	})
	problem = errors.Join(problem, err)
	if last != nil && b.Crash {
		problem = errors.Join(problem, keep.WriteFile(boot.CrashFile, []byte(last.Text), 0o600))
	}
	// What is kept elsewhere now goes, for the firmware's room is small; what is not stays for the next boot.
	if problem == nil && !m.rescue {
		for _, f := range files {
			problem = errors.Join(problem, os.Remove(filepath.Join(pstoreDir, f.Name)))
		}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		panic("BUG: boots do not encode: " + err.Error())
	}
	problem = errors.Join(problem, os.WriteFile(boot.BootsFile, raw, 0o600))
	return words(b), problem
}

// words is a boot's cause for the console.
func words(b upkeep.Boot) string {
	text := string(b.Cause)
	if b.What != "" {
		text += " " + b.What
	}
	if b.Reason != "" {
		text += ": " + b.Reason
	}
	text += by(b.By)
	for i, e := range b.Evidence {
		sep := "; "
		if i == 0 {
			sep = " - "
		}
		text += sep + e
	}
	return text
}

// maxDumps bounds what is read of the kernel's last words: files, and bytes of each.
const (
	maxDumps     = 256
	maxDumpBytes = 64 << 10
)

func readPstore(dir string) (files []reason.File, problem error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the kernel's last words: %w", err)
	}
	for _, e := range entries[:min(len(entries), maxDumps)] {
		raw, err := readUpTo(filepath.Join(dir, e.Name()), maxDumpBytes)
		if err != nil {
			problem = errors.Join(problem, fmt.Errorf("read the kernel's last words: %w", err))
			continue
		}
		f := reason.File{Name: e.Name(), Text: string(raw)}
		if info, err := e.Info(); err == nil {
			f.At = info.ModTime()
		}
		files = append(files, f)
	}
	return files, problem
}

// readUpTo reads the first bytes of a file.
func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// seen notes now and then that this boot runs.
func (m *Machine) seen(ctx context.Context) error {
	return run.Every(ctx, time.Minute, func(context.Context) error {
		if err := m.life.note(func(*reason.Life) {}); err != nil {
			m.con.Line("%v", err)
		}
		return nil
	})
}

// left keeps that the machine is being left, or has been. Where that outlives no reboot, the kernel is asked to keep its log, which says
// it.
func (m *Machine) left(l Leave, done bool) error {
	end := reason.End{Leave: l, At: time.Now().Unix(), Done: done}
	end.Reason, end.By = upkeep.Words(l.Reason), upkeep.Words(l.By)
	problem := m.life.note(func(life *reason.Life) { life.End = &end })
	if !done || m.data != nil && m.data.action != disk.RAM {
		return problem
	}
	raw, err := json.Marshal(end)
	if err != nil {
		panic("BUG: an end does not encode: " + err.Error())
	}
	if err := os.WriteFile("/sys/module/printk/parameters/always_kmsg_dump", []byte("Y"), 0); err != nil {
		problem = errors.Join(problem, fmt.Errorf("have the kernel keep its last words: %w", err))
	}
	m.con.Log(strings.TrimPrefix(reason.EndMark, "hardnode: ") + string(raw))
	return problem
}
