package assemble

import (
	"strings"

	"hardnode.dev/image/kmod"
)

// Modules decompresses the modules of kmod.Table into image/modules/ (all) and cache/stage1/ (those of the first /init).
func (b Builder) Modules(k Kernel, tree string) error {
	var rows strings.Builder
	for _, r := range kmod.Table {
		rows.WriteString(r.Name + string(rune('0'+int(r.Use))))
	}
	st := stamp{file: b.path("cache", "modules.stamp"), inputs: digest("modules 3", k.Package.SHA256, rows.String()),
		outputs: []string{b.path("image", "modules", "modules.dep"), b.path("cache", "stage1", "modules.dep")}}
	if st.fresh() {
		return nil
	}
	t, err := kmod.OpenTree(tree)
	if err != nil {
		return err
	}
	mods, absent, err := t.Choose(kmod.Table)
	if err != nil {
		return err
	}
	if len(absent) > 0 {
		b.Log("modules: not files of this kernel: %s", strings.Join(absent, ", "))
	}
	if err := kmod.Write(b.path("image", "modules"), mods, func(kmod.Module) bool { return true }); err != nil {
		return err
	}
	if err := kmod.Write(b.path("cache", "stage1"), mods, func(m kmod.Module) bool { return m.Use == kmod.Stage1 }); err != nil {
		return err
	}
	b.Log("modules: %d for kernel %s", len(mods), k.Release)
	return st.mark()
}
