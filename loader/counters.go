package loader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Counter is an event that the CPU or the kernel counts (perf_event_open).
type Counter struct {
	Name   string
	kind   uint32
	config uint64
}

// Counters that say why a program takes its time. A virtual machine often has
// none of the hardware's.
var HardwareCounters = []Counter{
	{"cycles", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_CPU_CYCLES},
	{"instructions", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_INSTRUCTIONS},
	{"branch-misses", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_BRANCH_MISSES},
}

// TaskClock counts ns of CPU time, on every host.
var TaskClock = Counter{"task-clock", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK}

// ErrNoCounters means that this host has no hardware counters, or not these.
var ErrNoCounters = errors.New("the host has no such performance counters")

// Counters counts events of the thread that opened them, in user and kernel mode.
// A nil Counters counts nothing.
type Counters struct {
	names  []string
	fds    []int // the first leads the group: all count together or none does
	buf    []byte
	before []uint64 // time enabled, time running, counts
	now    []uint64
}

// OpenCounters has the events of the calling thread counted. The thread must be
// the goroutine's own.
func OpenCounters(list []Counter) (_ *Counters, err error) {
	c := &Counters{buf: make([]byte, 8*(3+len(list))), before: make([]uint64, 2+len(list)), now: make([]uint64, 2+len(list))}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	leader := -1
	for _, e := range list {
		attr := unix.PerfEventAttr{Type: e.kind, Config: e.config,
			Read_format: unix.PERF_FORMAT_GROUP | unix.PERF_FORMAT_TOTAL_TIME_ENABLED | unix.PERF_FORMAT_TOTAL_TIME_RUNNING}
		attr.Size = uint32(unsafe.Sizeof(attr))
		fd, err := unix.PerfEventOpen(&attr, 0, -1, leader, unix.PERF_FLAG_FD_CLOEXEC)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOSYS):
			return nil, fmt.Errorf("%w: %s: %w", ErrNoCounters, e.Name, err)
		case err != nil:
			return nil, fmt.Errorf("performance counter %s: %w", e.Name, err)
		}
		if leader < 0 {
			leader = fd
		}
		c.fds, c.names = append(c.fds, fd), append(c.names, e.Name)
	}
	return c, nil
}

// Names lists the counters, in order.
func (c *Counters) Names() []string {
	if c == nil {
		return nil
	}
	return c.names
}

// Start begins a stretch.
func (c *Counters) Start() error {
	if c == nil {
		return nil
	}
	return c.read(c.before)
}

// Stop returns what was counted since Start; it is an error if another user of the
// counters took them away meanwhile.
func (c *Counters) Stop() ([]uint64, error) {
	if c == nil {
		return nil, nil
	}
	if err := c.read(c.now); err != nil {
		return nil, err
	}
	for i := range c.now {
		c.now[i] -= c.before[i]
	}
	out := make([]uint64, len(c.fds))
	enabled, running := c.now[0], c.now[1]
	if running == 0 {
		return nil, fmt.Errorf("%w: others use them", ErrNoCounters)
	}
	for i, n := range c.now[2:] {
		// Counters that took turns with others are scaled up.
		out[i] = uint64(float64(n) * float64(enabled) / float64(running))
	}
	return out, nil
}

func (c *Counters) read(into []uint64) error {
	n, err := unix.Read(c.fds[0], c.buf)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Read(c.fds[0], c.buf)
	}
	if err != nil || n != len(c.buf) {
		return fmt.Errorf("read the performance counters: %d bytes, %w", n, os.NewSyscallError("read", err))
	}
	for i := range into { // behind the number of counters
		into[i] = binary.NativeEndian.Uint64(c.buf[8*(i+1):])
	}
	return nil
}

// Close stops counting.
func (c *Counters) Close() error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, fd := range c.fds {
		errs = append(errs, unix.Close(fd))
	}
	c.fds = nil
	return errors.Join(errs...)
}
