package machine

import (
	"time"

	"hardnode.dev/init/steps"
)

const second = time.Second

// table is the boot, top to bottom. A fatal row is one without which the host is of no use, or not safe.
func (m *Machine) table() []steps.Step {
	return []steps.Step{
		{Name: "mounts", Fatal: true, Deadline: 5 * second, Run: m.stepMounts},
		{Name: "consoles", Deadline: 2 * second, Run: m.stepConsoles}, // of the kernel's own list; those of the config follow
		{Name: "limits", Deadline: 2 * second, Run: m.stepLimits},
		{Name: "cgroups", Fatal: true, Deadline: 5 * second, Run: m.stepCgroups},
		{Name: "clock", Deadline: second, Run: m.stepClock},
		{Name: "api", Fatal: true, Deadline: 2 * second, Run: m.stepAPI},
		{Name: "devices", Fatal: true, Deadline: 30 * second, Run: m.stepDevices}, // by modalias: disks, network cards, fw_cfg
		{Name: "console", Deadline: 2 * second, Run: m.stepConsole},               // before the config: it shows why the host waits
		{Name: "config", Fatal: true, Run: m.stepConfig},                          // netd; a host without one waits for it
		{Name: "modules", Deadline: 60 * second, Run: m.stepModules},              // a module that won't load is said, and no more
		{Name: "data", Fatal: true, Run: m.stepData},                              // a disk that holds something waits for a person
		{Name: "saved time", Deadline: 5 * second, Run: m.stepSavedTime},
		{Name: "watchdog", Deadline: 5 * second, Run: m.stepWatchdog},
		{Name: "services", Fatal: true, Deadline: 60 * second, Run: m.stepServices},
		{Name: "boot count", Deadline: 5 * second, Run: m.stepCounted},
	}
}
