package assemble

import (
	"fmt"
	"strings"

	"hardnode.dev/image/kmod"
)

// Modules lays the target's modules out in modules/ (all) and stage1/ (those of the first /init).
func (b Builder) Modules(k Kernel, tree string) error {
	var rows strings.Builder
	for _, r := range b.Target.table {
		rows.WriteString(r.Name + string(rune('0'+int(r.Use))))
	}
	st := stamp{file: b.kept("modules.stamp"), inputs: digest("modules 5", k.Package.SHA256, rows.String()),
		outputs: []string{b.in("modules", "modules.dep"), b.kept("stage1", "modules.dep")}}
	if st.fresh() {
		return nil
	}
	t, err := kmod.OpenTree(tree)
	if err != nil {
		return err
	}
	mods, absent, err := t.Choose(b.Target.table)
	if err != nil {
		return err
	}
	for _, m := range mods {
		if !m.Signed() {
			return fmt.Errorf("module %q has no signature: under secure boot the kernel would not load it", m.Name)
		}
	}
	if len(absent) > 0 {
		b.Log("modules: not files of this kernel: %s", strings.Join(absent, ", "))
	}
	if err := kmod.Write(b.in("modules"), mods, func(kmod.Module) bool { return true }); err != nil {
		return err
	}
	if err := kmod.Write(b.kept("stage1"), mods, func(m kmod.Module) bool { return m.Use == kmod.Stage1 }); err != nil {
		return err
	}
	b.Log("modules: %d for kernel %s", len(mods), k.Release)
	return st.mark()
}
