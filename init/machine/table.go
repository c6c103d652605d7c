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
		{Name: "last words", Deadline: 10 * second, Run: m.stepPstore},            // early: from here on a panic is kept
		{Name: "firmware", Deadline: 10 * second, Run: m.stepFirmware},
		// before the configuration: it may lie where the boot is from
		{Name: "config", Fatal: true, Run: m.stepConfig},             // netd; a host without one waits for it
		{Name: "modules", Deadline: 60 * second, Run: m.stepModules}, // a module that won't load is said, and no more
		{Name: "data", Fatal: true, Run: m.stepData},                 // a disk that holds something waits for a person
		{Name: "swap", Deadline: 10 * second, Run: m.stepSwap},
		{Name: "saved time", Deadline: 5 * second, Run: m.stepSavedTime},
		{Name: "reason of boot", Deadline: 30 * second, Run: m.stepReason},
		{Name: "trial", Deadline: 5 * second, Run: m.stepTrial},
		{Name: "view", Deadline: 5 * second, Run: m.stepView},
		{Name: "agent", Run: m.stepAgent}, // first: on a small machine everything beside it holds it up
		{Name: "services", Fatal: true, Deadline: 60 * second, Run: m.stepServices},
		{Name: "watchdog", Deadline: 30 * second, Run: m.stepWatchdog}, // the rows above have deadlines of their own
		{Name: "console", Deadline: 2 * second, Run: m.stepConsole},    // last, unless the boot has taken long: it shows why the host waits
		{Name: "boot count", Deadline: 5 * second, Run: m.stepCounted},
		{Name: "container modules", Deadline: 60 * second, Run: m.stepContainerModules}, // the agent waits for them where it needs them
	}
}
