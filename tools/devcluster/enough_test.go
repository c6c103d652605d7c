package main

import (
	"strings"
	"testing"

	"hardnode.dev/qemu-tests/cluster"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		o    cluster.Options
		rest []string
		want string // part of the error; "" is none
	}{
		{cluster.Options{Dir: "d", Hosts: 1}, nil, ""},
		{cluster.Options{Dir: "d", Hosts: cluster.MaxHosts, Seats: 1}, nil, ""},
		{cluster.Options{Dir: "d", Hosts: 0}, nil, "--hosts 0: from 1 to 200"},
		{cluster.Options{Dir: "d", Hosts: 201}, nil, "--hosts 201"},
		{cluster.Options{Dir: "d", Hosts: 2, Seats: -1}, nil, "--seats -1"},
		{cluster.Options{Dir: "", Hosts: 2}, nil, "--dir is empty"},
		{cluster.Options{Dir: "d", Hosts: 2}, []string{"keep"}, `unknown argument "keep"`},
	} {
		err := check(c.o, c.rest)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v %q: got %v, want %q", c.o, c.rest, err, c.want)
		}
	}
}
