package loader

import (
	"errors"
	"fmt"
	"io"
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
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample: 1, Wakeup: 1}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open the tracepoint: %w", err)
	}
	if err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, prog); err == nil {
		err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("attach to the tracepoint: %w", err)
	}
	return &Hook{fd}, nil
}
