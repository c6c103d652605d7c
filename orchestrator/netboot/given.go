package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cards are the MACs that are answered; nil is all.
func cards(list string) (out []string, err error) {
	if list == "all" {
		return nil, nil
	}
	for m := range strings.SplitSeq(list, ",") {
		mac, err := net.ParseMAC(strings.TrimSpace(m))
		if err != nil || len(mac) != 6 {
			return nil, fmt.Errorf("-for %q: want MACs such as 52:54:00:12:34:56 with commas between them, or all: every machine on the "+
				"network that asks how to boot then boots Hardnode", list)
		}
		out = append(out, mac.String())
	}
	slices.Sort(out)
	return out, nil
}

// networkOf is a card's own IPv4 address and network.
func networkOf(card string) (netip.Prefix, error) {
	c, err := net.InterfaceByName(card)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("-interface %q: %v; ip link shows the cards' names", card, err)
	}
	addrs, err := c.Addrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("-interface %q: %v", card, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("-interface %q: it has no IPv4 address: give it one first", card)
}

// firmware reads what firmware loads by TFTP.
func firmware(folder string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range []string{"undionly.kpxe", "snponly.efi"} {
		raw, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, fmt.Errorf("read what firmware loads: %w", err)
		}
		out[name] = raw
	}
	return out, nil
}
