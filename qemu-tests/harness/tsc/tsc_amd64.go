package tsc

// ticks is the counter (Intel SDM volume 2, RDTSC).
func ticks() uint64
