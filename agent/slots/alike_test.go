package slots

import (
	"slices"
	"testing"
)

func TestDiffers(t *testing.T) {
	const (
		a, b   = "EFI/hardnode/a.efi", "EFI/hardnode/b.efi"
		loader = "EFI/BOOT/BOOTX64.EFI"
		ea, eb = "loader/entries/hardnode-1-a+1.conf", "loader/entries/hardnode-2-b+2.conf"
		ea0    = "loader/entries/hardnode-1-a+0-1.conf"
	)
	whole := map[string]content{a: {1}, b: {2}, loader: {3}, ea: {4}, eb: {5}, "hardnode.yaml": {6}, ownFile: {7}}
	with := func(change func(map[string]content)) map[string]content {
		m := map[string]content{}
		for k, v := range whole {
			m[k] = v
		}
		change(m)
		return m
	}
	for _, c := range []struct {
		name          string
		to            map[string]content
		remove, write []string
	}{
		{"alike", whole, nil, nil},
		{"the loader's own file", with(func(m map[string]content) { m[ownFile] = content{9} }), nil, nil},
		{"empty", nil, nil, []string{loader, a, b, "hardnode.yaml", ea, eb}},
		{"another count", with(func(m map[string]content) { delete(m, ea); m[ea0] = content{4} }), []string{ea0}, []string{ea}},
		{"an older system", with(func(m map[string]content) { m[a] = content{9} }), []string{ea}, []string{a, ea}},
		{"an older system, counted otherwise", with(func(m map[string]content) { m[a] = content{9}; delete(m, ea); m[ea0] = content{4} }),
			[]string{ea0}, []string{a, ea}},
		{"a file too many", with(func(m map[string]content) { m[b+".new"] = content{9} }), []string{b + ".new"}, nil},
		{"a system that can't be read", with(func(m map[string]content) { m[a] = unread }), []string{ea}, []string{a, ea}},
		{"an entry that can't be read", with(func(m map[string]content) { m[eb] = unread }), []string{eb}, []string{eb}},
		{"an entry of another version", with(func(m map[string]content) { m[eb] = content{9} }), []string{eb}, []string{eb}},
	} {
		remove, write := differs(whole, c.to)
		if !slices.Equal(remove, c.remove) || !slices.Equal(write, c.write) {
			t.Errorf("%s: remove %q, write %q; want %q, %q", c.name, remove, write, c.remove, c.write)
		}
	}
	whole[ownFile] = unread
	if err := readable(whole); err != nil {
		t.Errorf("the loader's own file can't be read: %v", err)
	}
	whole[b] = unread
	if err := readable(whole); err == nil || err.Error() != b+" of the booted ESP can't be read" {
		t.Errorf("a system can't be read: %v", err)
	}
}
