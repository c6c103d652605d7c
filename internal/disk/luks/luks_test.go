package luks

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const most = 64 << 10

// volume makes a file with a header that a passphrase opens, cheaply.
func volume(t *testing.T) (path string, key []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "volume")
	f := file(t, path)
	if err := f.Truncate(32 << 20); err != nil {
		t.Fatal(err)
	}
	if is, err := Is(f); is || err != nil {
		t.Errorf("an empty file is a volume: %v", err)
	}
	if _, err := Open(f); !errors.Is(err, ErrNone) {
		t.Errorf("an empty file: %v", err)
	}
	h, key, err := Format(f, "label")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.SetSlot(0, []byte("recovery"), key, Cost{MemoryKiB: 1 << 10, Time: 4}, "", nil); err != nil {
		t.Fatal(err)
	}
	if err := h.SetSlot(1, []byte("machine"), key, Cost{}, "hardnode-tpm2", map[string]any{"blob": "x"}); err != nil {
		t.Fatal(err)
	}
	return path, key
}

func file(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestSlots: each slot's passphrase opens the volume until the slot is dropped, and nothing else does.
func TestSlots(t *testing.T) {
	path, key := volume(t)
	f := file(t, path)
	h, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	for n, pass := range []string{"recovery", "machine"} {
		if got, err := h.Unlock(n, []byte(pass), most); err != nil || !bytes.Equal(got, key) {
			t.Errorf("slot %d: %v", n, err)
		}
		if _, err := h.Unlock(n, []byte("guess"), most); !errors.Is(err, ErrWrong) {
			t.Errorf("slot %d with a guess: %v", n, err)
		}
	}
	var token struct{ Blob string }
	if ok, err := h.Token(1, "hardnode-tpm2", &token); !ok || err != nil || token.Blob != "x" {
		t.Errorf("token %+v, %v, %v", token, ok, err)
	}
	if ok, _ := h.Token(0, "hardnode-tpm2", &token); ok {
		t.Error("slot 0 has a token")
	}
	if _, err := h.Unlock(0, []byte("recovery"), 512); err == nil || !strings.Contains(err.Error(), "this machine gives 512 KiB") {
		t.Errorf("with too little memory: %v", err)
	}
	if err := h.SetSlot(2, []byte("other"), make([]byte, KeySize), Cost{}, "", nil); err == nil {
		t.Error("a slot for another key was made")
	}
	if err := h.DropSlot(1); err != nil {
		t.Fatal(err)
	}
	if h, err = Open(f); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Unlock(1, []byte("machine"), most); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("a dropped slot: %v", err)
	}
	if _, err := h.Unlock(0, []byte("recovery"), most); err != nil {
		t.Errorf("the other slot: %v", err)
	}
}

// torn is a file whose power is cut after so many writes.
type torn struct {
	*os.File
	left int
}

var errCut = errors.New("the power is cut")

func (f *torn) WriteAt(b []byte, at int64) (int, error) {
	if f.left--; f.left < 0 {
		if f.left == -1 {
			f.File.WriteAt(b[:len(b)/3], at)
		}
		return 0, errCut
	}
	return f.File.WriteAt(b, at)
}

// TestCuts: cut off at whatever write of a change of slots, what opened the volume before and was not to go still does.
func TestCuts(t *testing.T) {
	path, key := volume(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		f := &torn{file(t, path), n}
		h, err := Open(f)
		if err != nil {
			t.Fatal(err)
		}
		err = h.SetSlot(2, []byte("next"), key, Cost{}, "hardnode-tpm2", map[string]any{"blob": "y"})
		if err == nil {
			err = h.DropSlot(1)
		}
		after, openErr := Open(f)
		if openErr != nil {
			t.Fatalf("cut after %d writes: %v", n, openErr)
		}
		if _, e := after.Unlock(0, []byte("recovery"), most); e != nil {
			t.Errorf("cut after %d writes: recovery: %v", n, e)
		}
		_, one := after.Unlock(1, []byte("machine"), most)
		_, two := after.Unlock(2, []byte("next"), most)
		if one != nil && two != nil {
			t.Errorf("cut after %d writes: neither the old slot (%v) nor the new one (%v) opens", n, one, two)
		}
		f.Close()
		if err == nil {
			if one == nil || two != nil {
				t.Errorf("whole: the old slot %v, the new one %v", one, two)
			}
			return
		}
	}
	t.Error("20 writes were not enough")
}

// TestDamage: one damaged copy is made good by the other; a header that asks for too much, or is another's, is refused.
func TestDamage(t *testing.T) {
	path, _ := volume(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := file(t, path)
	for _, at := range []int64{0, 100, 5000, headerSize, headerSize + 5000} {
		if _, err := f.WriteAt([]byte("damage"), at); err != nil {
			t.Fatal(err)
		}
		if h, err := Open(f); err != nil || len(h.d.Keyslots) != 2 {
			t.Errorf("damaged at byte %d: %v", at, err)
		}
		if _, err := f.WriteAt(whole[at:at+6], at); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []int64{100, headerSize + 100} {
		if _, err := f.WriteAt([]byte("damage"), at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(f); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("both damaged: %v", err)
	}
	if is, err := Is(f); !is || err != nil {
		t.Errorf("it is no volume any more: %v", err)
	}
}

// TestCryptsetup: the field's own program finds the header right, and its passphrases open it.
func TestCryptsetup(t *testing.T) {
	program, err := exec.LookPath("cryptsetup")
	if err != nil {
		if program = "/usr/sbin/cryptsetup"; !exists(program) {
			t.Skip("cryptsetup is not here: make deps installs it")
		}
	}
	path, key := volume(t)
	run := func(in string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run("", "luksDump", path)
	if err != nil || !strings.Contains(out, "argon2id") || !strings.Contains(out, "hardnode-tpm2") || !strings.Contains(out, "label") {
		t.Errorf("luksDump: %v\n%s", err, out)
	}
	for n, pass := range []string{"recovery", "machine"} {
		if out, err := run(pass, "luksOpen", "--test-passphrase", "--key-slot", string(rune('0'+n)), "--key-file", "-", path); err != nil {
			t.Errorf("slot %d: %v\n%s", n, err, out)
		}
	}
	if out, err := run("guess", "luksOpen", "--test-passphrase", "--key-file", "-", path); err == nil {
		t.Errorf("a guess opens it: %s", out)
	}
	// A slot that it makes is one for us, too.
	add := filepath.Join(t.TempDir(), "next")
	if err := os.WriteFile(add, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run("recovery", "luksAddKey", "--key-file", "-", "--key-slot", "2", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", path, add); err != nil {
		t.Fatalf("luksAddKey: %v\n%s", err, out)
	}
	h, err := Open(file(t, path))
	if err != nil {
		t.Logf("a header of cryptsetup's making: %v", err)
		return
	}
	if got, err := h.Unlock(2, []byte("theirs"), most); err != nil || !bytes.Equal(got, key) {
		t.Errorf("its slot: %v", err)
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func FuzzOpen(f *testing.F) {
	f.Add([]byte(magic1))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "volume")
		if err := os.WriteFile(path, append(b, make([]byte, 1<<20)...), 0o600); err != nil {
			t.Fatal(err)
		}
		v := file(t, path)
		if h, err := Open(v); err == nil {
			h.Unlock(0, []byte("x"), most)
		}
	})
}
