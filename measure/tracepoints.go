package measure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

// tracepointRig runs programs on tracepoints and other events by doing what the
// event tells of. All programs that are compared hang on the event together and see
// it at the same time; a tracepoint tells of the rest of the host as well. What is
// seen of a program is what it leaves in its maps.
type tracepointRig struct {
	what   string
	attach func(prog int) (*loader.Hook, error)
	raise  func(in Input)
	// done releases what raise needs; it may be nil.
	done  func() error
	at    map[*Instance]*loader.Hook
	order []*Instance
}

// mostAttached keeps within the kernel's bound of 64 programs a tracepoint.
const mostAttached = 40

// harmless are system calls by what their arguments look like; whatever the input
// puts into these, nothing changes.
var harmless = map[string]struct {
	nr    uintptr
	shape string // a letter an argument: p a path that is not there, f a bad descriptor, x anything
}{
	"getpid": {unix.SYS_GETPID, ""}, "gettid": {unix.SYS_GETTID, ""}, "getuid": {unix.SYS_GETUID, ""}, "getppid": {unix.SYS_GETPPID, ""},
	"open": {unix.SYS_OPEN, "pxx"}, "openat": {unix.SYS_OPENAT, "fpxx"}, "openat2": {unix.SYS_OPENAT2, "fp00"}, "creat": {unix.SYS_CREAT, "px"},
	"access": {unix.SYS_ACCESS, "px"}, "newstat": {unix.SYS_STAT, "p0"}, "newlstat": {unix.SYS_LSTAT, "p0"}, "newfstatat": {unix.SYS_NEWFSTATAT, "fp0x"},
	"readlink": {unix.SYS_READLINK, "p00"}, "unlink": {unix.SYS_UNLINK, "p"}, "unlinkat": {unix.SYS_UNLINKAT, "fpx"}, "mkdir": {unix.SYS_MKDIR, "px"},
	"rmdir": {unix.SYS_RMDIR, "p"}, "chmod": {unix.SYS_CHMOD, "px"}, "execve": {unix.SYS_EXECVE, "p00"}, "execveat": {unix.SYS_EXECVEAT, "fp00x"},
	"close": {unix.SYS_CLOSE, "f"}, "read": {unix.SYS_READ, "f0x"}, "write": {unix.SYS_WRITE, "f0x"}, "pread64": {unix.SYS_PREAD64, "f0xx"},
	"pwrite64": {unix.SYS_PWRITE64, "f0xx"}, "readv": {unix.SYS_READV, "f0x"}, "writev": {unix.SYS_WRITEV, "f0x"}, "lseek": {unix.SYS_LSEEK, "fxx"},
	"fsync": {unix.SYS_FSYNC, "f"}, "dup": {unix.SYS_DUP, "f"}, "ioctl": {unix.SYS_IOCTL, "fxx"}, "fcntl": {unix.SYS_FCNTL, "fxx"},
	"connect": {unix.SYS_CONNECT, "f0x"}, "bind": {unix.SYS_BIND, "f0x"}, "listen": {unix.SYS_LISTEN, "fx"}, "accept": {unix.SYS_ACCEPT, "f00"},
	"accept4": {unix.SYS_ACCEPT4, "f00x"}, "sendto": {unix.SYS_SENDTO, "f0xx00"}, "recvfrom": {unix.SYS_RECVFROM, "f0xx00"},
	"sendmsg": {unix.SYS_SENDMSG, "f0x"}, "recvmsg": {unix.SYS_RECVMSG, "f0x"}, "epoll_ctl": {unix.SYS_EPOLL_CTL, "fxf0"},
	"sched_yield": {unix.SYS_SCHED_YIELD, ""}, "nanosleep": {unix.SYS_NANOSLEEP, "00"},
}

// missing is a path at which nothing is or can be made.
var missing = []byte("/proc/superbpf/none\x00")

func newTracepointRig(inst *Instance, kind progKind) (*tracepointRig, error) {
	id, err := loader.Tracepoint(inst.Target)
	if err != nil {
		return nil, errNoEvent(kind, "%v", err)
	}
	r := &tracepointRig{what: "events at the tracepoint", at: map[*Instance]*loader.Hook{},
		attach: func(prog int) (*loader.Hook, error) { return loader.AttachTracepoint(id, prog) }}
	group, name, _ := strings.Cut(inst.Target, "/")
	call := strings.TrimPrefix(strings.TrimPrefix(name, "sys_enter_"), "sys_exit_")
	switch c, ok := harmless[call]; {
	case group == "syscalls" && ok:
		r.raise = func(in Input) { syscallFrom(c.nr, c.shape, in) }
	case group == "raw_syscalls":
		r.raise = func(in Input) { syscallFrom(unix.SYS_OPENAT, "fpxx", in) }
	case group == "sched" && (name == "sched_switch" || name == "sched_waking" || name == "sched_wakeup"):
		r.raise = func(Input) { time.Sleep(50 * time.Microsecond) }
	default:
		return nil, errNoEvent(kind, "nothing here raises %s", inst.Target)
	}
	return r, nil
}

// syscallFrom makes a system call with arguments from the input's bytes.
func syscallFrom(nr uintptr, shape string, in Input) {
	var args [6]uintptr
	for i, s := range shape {
		switch s {
		case 'p':
			args[i] = uintptr(unsafe.Pointer(unsafe.SliceData(missing)))
		case 'f':
			args[i] = ^uintptr(0) // no descriptor: -1
		case 'x':
			var b [4]byte
			if 4*i < len(in.Data) {
				copy(b[:], in.Data[4*i:])
			}
			args[i] = uintptr(binary.LittleEndian.Uint32(b[:]))
		}
	}
	// That it fails is what makes it harmless.
	unix.RawSyscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5])
}

func (r *tracepointRig) cookies() []uint64 { return nil }

// use attaches the programs and detaches others, the oldest first, when there are
// too many.
func (r *tracepointRig) use(insts []*Instance) error {
	for _, inst := range insts {
		if r.at[inst] != nil {
			continue
		}
		for len(r.order) >= mostAttached {
			if err := r.drop(r.order[0]); err != nil {
				return err
			}
		}
		h, err := r.attach(inst.FD)
		if err != nil {
			return err
		}
		r.at[inst] = h
		r.order = append(r.order, inst)
	}
	return nil
}

func (r *tracepointRig) drop(inst *Instance) error {
	for i, p := range r.order {
		if p == inst {
			r.order = append(r.order[:i], r.order[i+1:]...)
			break
		}
	}
	h := r.at[inst]
	delete(r.at, inst)
	return h.Close()
}

func (r *tracepointRig) once(insts []*Instance, in Input, outs []*loader.TestRun) error {
	if err := r.use(insts); err != nil {
		return err
	}
	r.raise(in)
	for _, o := range outs {
		o.Ret, o.Out, o.OutLen = 0, o.Out[:0], 0
	}
	return nil
}

func (r *tracepointRig) many(inst *Instance, in Input, n int) (time.Duration, error) {
	if err := r.use([]*Instance{inst}); err != nil {
		return 0, err
	}
	runs := 0
	d, err := inRuns(inst.FD, &runs, func() error {
		for range n {
			r.raise(in)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	// Others' events count as well.
	return time.Duration(float64(d) / float64(runs) * float64(n)), nil
}

func (r *tracepointRig) changed(Input, *loader.TestRun) bool { return false }

func (r *tracepointRig) close() error {
	var errs []error
	for len(r.order) > 0 {
		errs = append(errs, r.drop(r.order[0]))
	}
	if r.done != nil {
		errs = append(errs, r.done())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach from the event: %w", err)
	}
	return nil
}
