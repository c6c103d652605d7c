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
		name                 string
		to                   map[string]content
		remove, write, after []string
	}{
		{"alike", whole, nil, nil, nil},
		{"the loader's own file", with(func(m map[string]content) { m[ownFile] = content{9} }), nil, nil, nil},
		{"empty", nil, nil, []string{loader, a, b, "hardnode.yaml", ea, eb}, nil},
		{"another count", with(func(m map[string]content) { delete(m, ea); m[ea0] = content{4} }), nil, []string{ea}, []string{ea0}},
		{"an older system", with(func(m map[string]content) { m[a] = content{9} }), []string{ea}, []string{a, ea}, nil},
		{"an older system, counted otherwise", with(func(m map[string]content) { m[a] = content{9}; delete(m, ea); m[ea0] = content{4} }),
			[]string{ea0}, []string{a, ea}, nil},
		{"a file too many", with(func(m map[string]content) { m[b+".new"] = content{9} }), []string{b + ".new"}, nil, nil},
		{"a system that can't be read", with(func(m map[string]content) { m[a] = unread }), []string{ea}, []string{a, ea}, nil},
		{"an entry that can't be read", with(func(m map[string]content) { m[eb] = unread }), nil, []string{eb}, nil},
		{"an entry of another version", with(func(m map[string]content) { m[eb] = content{9} }), nil, []string{eb}, nil},
		{"an older system, and a file too many", with(func(m map[string]content) { m[b] = content{9}; m["EFI/x"] = content{9} }),
			[]string{eb, "EFI/x"}, []string{b, eb}, nil},
	} {
		remove, write, after := differs(whole, c.to)
		if !slices.Equal(remove, c.remove) || !slices.Equal(write, c.write) || !slices.Equal(after, c.after) {
			t.Errorf("%s: remove %q, write %q, remove %q; want %q, %q, %q", c.name, remove, write, after, c.remove, c.write, c.after)
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
