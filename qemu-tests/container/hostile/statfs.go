package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// statfsSize is that of struct statfs; a page is larger than what the other structures need.
const (
	statfsSize = int(unsafe.Sizeof(unix.Statfs_t{}))
	page       = 4096
)

// ask calls statfs(2) on path with any buffer.
func ask(path string, buffer uintptr) unix.Errno {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		panic(err)
	}
	_, _, errno := unix.Syscall(unix.SYS_STATFS, uintptr(unsafe.Pointer(p)), buffer, 0)
	return errno
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// statfs gives statfs(2) buffers of every bad kind, then changes a good one while the kernel writes it. blocks is how many / may be said to
// have: its quota, then what its other file systems have.
func statfs(blocks []string) {
	mem, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		panic(err)
	}
	rw, ro := mem[:page], mem[page:2*page]
	check := func(what string, got, want unix.Errno) {
		if got != want {
			fmt.Printf("%s: %v, want %v\n", what, got, want)
			os.Exit(1)
		}
	}
	for i := range ro {
		ro[i] = 0xaa
	}
	must(unix.Mprotect(ro, unix.PROT_READ))
	must(unix.Mprotect(mem[2*page:], unix.PROT_NONE))
	check("no address", ask("/", 0), unix.EFAULT)
	check("a small address", ask("/", 1), unix.EFAULT)
	check("the kernel's memory", ask("/", ^uintptr(0)-page), unix.EFAULT)
	check("read-only memory", ask("/", address(ro)), unix.EFAULT)
	for n := 8; n < statfsSize; n += 8 { // torn between memory of two kinds at every field
		check(fmt.Sprintf("%d bytes, then read-only memory", n), ask("/", address(ro)-uintptr(n)), unix.EFAULT)
		check(fmt.Sprintf("read-only memory of %d bytes, then none", n), ask("/", address(ro)+uintptr(page-n)), unix.EFAULT)
	}
	for i, b := range ro {
		if b != 0xaa {
			fmt.Printf("byte %d of read-only memory is %#x\n", i, b)
			os.Exit(1)
		}
	}
	for i := range rw {
		rw[i] = 0xaa
	}
	check("a path that is not there", ask("/nosuch", address(rw[512:])), unix.ENOENT)
	check("a good buffer", ask("/", address(rw[1024:])), 0)
	for i, b := range rw {
		if (i < 1024 || i >= 1024+statfsSize) && b != 0xaa {
			fmt.Printf("byte %d beside the buffer is %#x\n", i, b)
			os.Exit(1)
		}
	}
	st := (*unix.Statfs_t)(unsafe.Pointer(&rw[1024]))
	if got := strconv.FormatUint(st.Blocks, 10); got != blocks[0] {
		fmt.Printf("/ has %s blocks, want %s\n", got, blocks[0])
		os.Exit(1)
	}
	root, err := os.Open("/")
	must(err)
	defer root.Close()
	var too unix.Statfs_t
	must(unix.Fstatfs(int(root.Fd()), &too))
	if too.Blocks != st.Blocks || too.Fsid != st.Fsid {
		fmt.Printf("fstatfs says %d blocks, statfs %d\n", too.Blocks, st.Blocks)
		os.Exit(1)
	}
	race(rw, st.Fsid, blocks)
}

// race asks again and again while another thread puts names of other file systems into the answer and takes the right to write away.
func race(rw []byte, own unix.Fsid, blocks []string) {
	st := (*unix.Statfs_t)(unsafe.Pointer(&rw[1024]))
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; !stop.Load(); i++ {
			if i%64 == 0 {
				must(unix.Mprotect(rw, unix.PROT_READ))
				runtime.Gosched()
				must(unix.Mprotect(rw, unix.PROT_READ|unix.PROT_WRITE))
			}
			atomic.StoreInt32(&st.Fsid.Val[1], own.Val[1]^int32(i%64)) // subvolumes are numbered one after the other
			if i%8 == 0 {
				runtime.Gosched()
			}
		}
	}()
	said := map[string]int{}
	for range 20000 {
		if errno := ask("/", address(rw[1024:])); errno != 0 {
			said[errno.Error()]++
			continue
		}
		said[strconv.FormatUint(st.Blocks, 10)]++
	}
	stop.Store(true)
	<-done
	ok := map[string]bool{unix.EFAULT.Error(): true}
	for _, b := range blocks {
		ok[b] = true
	}
	for what := range said {
		if !ok[what] {
			fmt.Printf("in a race / has %v blocks, want one of %q\n", said, blocks)
			os.Exit(1)
		}
	}
	fmt.Println("unharmed")
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
