package loader

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNoTracepoint means that this kernel has no such tracepoint.
var ErrNoTracepoint = errors.New("this kernel has no such tracepoint")

// Tracepoint finds the number of a tracepoint, given as group/name.
func Tracepoint(target string) (uint64, error) {
	group, name, ok := strings.Cut(target, "/")
	if !ok || group == "" || name == "" || strings.Contains(name, "/") || strings.Contains(target, "..") {
		return 0, fmt.Errorf("%w: %q, want group/name", ErrNoTracepoint, target)
	}
	root, err := mountAside("tracefs")
	if err != nil {
		return 0, err
	}
	defer root.Close()
	f, err := openAt(int(root.Fd()), "events/"+target+"/id")
	if errors.Is(err, unix.ENOENT) {
		return 0, fmt.Errorf("%w: %s", ErrNoTracepoint, target)
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return 0, fmt.Errorf("tracepoint %s: %w", target, err)
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// AttachTracepoint has a tracepoint run the program, for whoever meets it, until
// the hook is closed. Several programs may be attached to one.
func AttachTracepoint(id uint64, prog int) (*Hook, error) {
	return attachEvent("tracepoint", -1, 0, &unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample: 1, Wakeup: 1}, prog)
}

// AttachPageFaults has each page fault of the calling thread run a program on
// performance events, while Events has them on and until the hook is closed.
func AttachPageFaults(prog int) (*Hook, error) {
	return attachEvent("page faults", 0, -1, &unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_PAGE_FAULTS, Sample: 1, Wakeup: 1,
		Bits: unix.PerfBitDisabled}, prog)
}

// Events switches all events that the calling thread opened on or off.
func Events(on bool) {
	option := uintptr(unix.PR_TASK_PERF_EVENTS_DISABLE)
	if on {
		option = unix.PR_TASK_PERF_EVENTS_ENABLE
	}
	unix.RawSyscall(unix.SYS_PRCTL, option, 0, 0)
}

// ErrNoUprobes means that this kernel has no probes on user code.
var ErrNoUprobes = errors.New("this kernel has no probes on user code (CONFIG_UPROBE_EVENTS)")

// AttachUserCode has the calling thread run a program on probes whenever it comes to
// the instruction at an offset of a file, until the hook is closed.
func AttachUserCode(path string, offset uint64, prog int) (*Hook, error) {
	text, err := os.ReadFile("/sys/bus/event_source/devices/uprobe/type")
	if err != nil {
		return nil, ErrNoUprobes
	}
	kind, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("probes on user code: %w", err)
	}
	name := append([]byte(path), 0)
	// Ext1 and Ext2 are uprobe_path and probe_offset.
	attr := unix.PerfEventAttr{Type: uint32(kind), Sample: 1, Wakeup: 1, Ext1: ptr(name), Ext2: offset}
	h, err := attachEvent("user code", 0, -1, &attr, prog)
	runtime.KeepAlive(name)
	return h, err
}

// attachEvent opens a performance event of a thread or CPU and has it run a program,
// from now on unless it is to be disabled.
func attachEvent(what string, pid, cpu int, attr *unix.PerfEventAttr, prog int) (*Hook, error) {
	attr.Size = uint32(unsafe.Sizeof(*attr))
	fd, err := unix.PerfEventOpen(attr, pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open an event (%s): %w", what, err)
	}
	if err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, prog); err == nil && attr.Bits&unix.PerfBitDisabled == 0 {
		err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("attach to an event (%s): %w", what, err)
	}
	return &Hook{fd}, nil
}
