package setmem

import (
	"fmt"
	"strconv"
)

// size is what a server may go by.
type size struct {
	memory int64 // bytes
	cpus   int   // at least 1
}

// setting is one value, as the server's configuration says it.
type setting struct{ name, value string }

const mib = 1 << 20

// mb is a share of the memory in MiB, between bounds.
func (s size) mb(percent, least, most int64) int64 {
	return min(max(s.memory/mib*percent/100, least), most)
}

// perChild is what a process of PHP needs as a rule, in MiB.
const perChild = 64

// php are a pool's settings: as many processes as have room. A pool that is static goes by the first alone.
func php(s size) []setting {
	n := s.mb(75, perChild, 500*perChild) / perChild
	number := func(n int64) string { return strconv.FormatInt(max(1, n), 10) }
	return []setting{{"pm.max_children", number(n)}, {"pm.start_servers", number(n / 4)}, {"pm.min_spare_servers", number(n / 8)},
		{"pm.max_spare_servers", number(n / 2)}}
}

// postgresql follows its manual (19.4, 19.7): a quarter for the server itself, and what the kernel is likely to keep of its files.
func postgresql(s size) []setting {
	mb := func(percent, least, most int64) string { return fmt.Sprintf("%dMB", s.mb(percent, least, most)) }
	return []setting{{"shared_buffers", mb(25, 16, 64<<10)}, {"effective_cache_size", mb(60, 32, 1<<20)},
		{"maintenance_work_mem", mb(6, 16, 2<<10)},
		{"work_mem", fmt.Sprintf("%dkB", max(1024, s.mb(25, 1, 64<<10)<<10/100))}} // a hundred connections at once
}

// mariadb has half for InnoDB's pages; the other caches are small ones that count where the whole is small.
func mariadb(s size) []setting {
	m := func(percent, least, most int64) string { return fmt.Sprintf("%dM", s.mb(percent, least, most)) }
	return []setting{{"innodb_buffer_pool_size", m(50, 16, 1<<20)}, {"aria_pagecache_buffer_size", m(6, 8, 128)},
		{"key_buffer_size", m(3, 8, 128)}, {"tmp_table_size", m(2, 2, 64)}, {"max_heap_table_size", m(2, 2, 64)},
		{"max_connections", strconv.FormatInt(s.mb(50, 30*4, 500*4)/4, 10)}} // at 4 MiB each
}

// nginx has a worker for each processor, and files for the connections of each.
func nginx(s size) []setting {
	return []setting{{"worker_processes", strconv.Itoa(s.cpus)}, {"worker_rlimit_nofile", strconv.FormatInt(s.mb(100, 64, 2048)*32, 10)}}
}

// java and node have the rest for what is no heap: code, threads, buffers.
func java(s size) []setting {
	return []setting{{"JAVA_TOOL_OPTIONS", fmt.Sprintf("-Xmx%dm", s.mb(70, 16, 1<<20))}}
}

func node(s size) []setting {
	return []setting{{"NODE_OPTIONS", fmt.Sprintf("--max-old-space-size=%d", s.mb(75, 16, 1<<20))}}
}
