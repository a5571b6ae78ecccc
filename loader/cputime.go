package loader

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// ThreadCPUTime returns the CPU time that the calling thread has used.
func ThreadCPUTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// PinThread locks the goroutine to its thread and the thread to one CPU: the
// last that the process may use, since interrupts tend to gather on the first.
// The returned function undoes both.
func PinThread() (cpu int, undo func(), err error) {
	runtime.LockOSThread()
	var old unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		runtime.UnlockOSThread()
		return 0, nil, fmt.Errorf("pin thread: %w", err)
	}
	cpu = -1
	for i := range len(old) * 64 {
		if old.IsSet(i) {
			cpu = i
		}
	}
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		runtime.UnlockOSThread()
		return 0, nil, fmt.Errorf("pin thread to CPU %d: %w", cpu, err)
	}
	return cpu, func() {
		unix.SchedSetaffinity(0, &old)
		runtime.UnlockOSThread()
	}, nil
}
