package block_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"hardnode.dev/internal/release/block"
)

func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func index(t testing.TB, raw []byte) block.Index {
	t.Helper()
	x, err := block.Make(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestIndex(t *testing.T) {
	for _, n := range []int{0, 1, block.Least, block.Most, block.Most + 1, 3 << 20} {
		raw := noise(n, 1)
		x := index(t, raw)
		back, err := block.Decode(x.Encode())
		if err != nil || back.Length != int64(n) || len(back.Blocks) != len(x.Blocks) {
			t.Errorf("%d bytes: got %d in %d blocks back, want %d: %v", n, back.Length, len(back.Blocks), len(x.Blocks), err)
		}
	}
	if n := len(index(t, noise(4<<20, 1)).Blocks); n < 100 || n > 400 {
		t.Errorf("4 MiB have %d blocks: the mean is not near %d bytes", n, block.Mean)
	}
	if n := len(index(t, make([]byte, 1<<20)).Blocks); n != 1<<20/block.Most && n > 1<<20/block.Least {
		t.Errorf("1 MiB of zeros has %d blocks", n)
	}
}

// TestInsertion: what is put into a file changes the blocks around it and no others.
func TestInsertion(t *testing.T) {
	old := noise(4<<20, 1)
	changed := append(append(append([]byte{}, old[:2<<20]...), "a few bytes"...), old[2<<20:]...)
	has := map[block.Sum]bool{}
	for _, b := range index(t, old).Blocks {
		has[b.Sum] = true
	}
	lacks := 0
	for _, b := range index(t, changed).Blocks {
		if !has[b.Sum] {
			lacks += b.Length
		}
	}
	if lacks == 0 || lacks > 3*block.Most {
		t.Errorf("after an insertion of 11 bytes, %d bytes are lacking", lacks)
	}
}

func TestDamagedIndex(t *testing.T) {
	good := index(t, noise(1<<20, 1)).Encode()
	for what, raw := range map[string][]byte{"empty": nil, "cut": good[:len(good)-1], "an entry less": good[:len(good)-36],
		"another kind": append([]byte("hardnode blocks 2\n"), good[18:]...), "only the head": good[:18]} {
		if _, err := block.Decode(raw); err == nil {
			t.Errorf("%s: is taken", what)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(index(f, noise(1<<17, 1)).Encode())
	f.Add([]byte("hardnode blocks 1\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if x, err := block.Decode(raw); err == nil && !bytes.Equal(x.Encode(), raw) {
			t.Errorf("%x is read and written as %x", raw, x.Encode())
		}
	})
}
