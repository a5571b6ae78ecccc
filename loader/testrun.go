package loader

import (
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNoTestRun means that the kernel cannot run programs of this type on
// request: it answered BPF_PROG_TEST_RUN with ENOTSUPP.
var ErrNoTestRun = errors.New("the kernel does not test-run this program type")

// errnoNotSupp is the kernel's internal ENOTSUPP, which leaks to user space.
const errnoNotSupp = unix.Errno(524)

// LiveFrames makes a test run hand real frames to the network stack
// (BPF_F_TEST_XDP_LIVE_FRAMES).
const LiveFrames = 1 << 1

type testRunAttr struct {
	progFD      uint32
	retval      uint32
	dataSizeIn  uint32
	dataSizeOut uint32
	dataIn      uint64
	dataOut     uint64
	repeat      uint32
	duration    uint32
	ctxSizeIn   uint32
	ctxSizeOut  uint32
	ctxIn       uint64
	ctxOut      uint64
	flags       uint32
	cpu         uint32
	batchSize   uint32
	_           uint32
}

// TestRun is one BPF_PROG_TEST_RUN. The caller reuses it to keep allocation out
// of the loop: set the inputs, call Run or Timed, read the outputs.
type TestRun struct {
	Prog int // file descriptor
	Data []byte
	Ctx  []byte
	// Repeat is how often the program runs; 0 means once.
	Repeat int
	Flags  uint32
	Batch  int // live frames only, 1 to 256

	// Out and CtxOut are buffers for the packet and context after the run. Run
	// cuts them to the length that the kernel reports, up to their capacity.
	Out, CtxOut []byte
	// OutLen is the packet's true length, which may exceed Out's capacity.
	OutLen int
	Ret    uint32

	attr testRunAttr
}

func (t *TestRun) fill() {
	t.attr = testRunAttr{
		progFD:     uint32(t.Prog),
		repeat:     uint32(t.Repeat),
		flags:      t.Flags,
		batchSize:  uint32(t.Batch),
		dataSizeIn: uint32(len(t.Data)),
		ctxSizeIn:  uint32(len(t.Ctx)),
	}
	if len(t.Data) > 0 {
		t.attr.dataIn = ptr(t.Data)
	}
	if len(t.Ctx) > 0 {
		t.attr.ctxIn = ptr(t.Ctx)
	}
	if cap(t.Out) > 0 {
		t.attr.dataOut, t.attr.dataSizeOut = ptr(t.Out), uint32(cap(t.Out))
	}
	if cap(t.CtxOut) > 0 {
		t.attr.ctxOut, t.attr.ctxSizeOut = ptr(t.CtxOut), uint32(cap(t.CtxOut))
	}
}

func (t *TestRun) finish(errno unix.Errno) error {
	runtime.KeepAlive(t.Data)
	runtime.KeepAlive(t.Ctx)
	runtime.KeepAlive(t.Out)
	runtime.KeepAlive(t.CtxOut)
	t.Ret = t.attr.retval
	t.OutLen = int(t.attr.dataSizeOut)
	if cap(t.Out) > 0 {
		t.Out = t.Out[:min(t.OutLen, cap(t.Out))]
	}
	if cap(t.CtxOut) > 0 {
		t.CtxOut = t.CtxOut[:min(int(t.attr.ctxSizeOut), cap(t.CtxOut))]
	}
	switch errno {
	case 0:
		return nil
	case errnoNotSupp:
		return ErrNoTestRun
	}
	return fmt.Errorf("test run: %w", errno)
}

// Run runs the program and fills the outputs. A packet longer than Out is cut
// there, with the true length in OutLen and ENOSPC as the error.
func (t *TestRun) Run() error {
	t.fill()
	_, err := bpfCall(cmdProgTestRun, unsafe.Pointer(&t.attr), unsafe.Sizeof(t.attr))
	var errno unix.Errno
	errors.As(err, &errno)
	return t.finish(errno)
}

// Timed is Run with the CPU time that the calling thread spent in the system
// call. The goroutine should be locked to its thread. The raw system calls keep
// Go's scheduler from working inside the measured stretch, so Repeat should be
// chosen for calls of a few milliseconds at most. A run that a signal cut short
// is repeated.
func (t *TestRun) Timed() (time.Duration, error) {
	for range maxSyscallRetries {
		t.fill()
		var before, after unix.Timespec
		unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&before)), 0)
		_, _, errno := unix.RawSyscall(unix.SYS_BPF, cmdProgTestRun, uintptr(unsafe.Pointer(&t.attr)), unsafe.Sizeof(t.attr))
		unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&after)), 0)
		if errno == unix.EINTR {
			continue
		}
		return time.Duration(after.Nano() - before.Nano()), t.finish(errno)
	}
	return 0, fmt.Errorf("test run: interrupted %d times in a row", maxSyscallRetries)
}

// Unbroken is Timed for a call of up to some tens of milliseconds: the thread's
// signals wait until it is over, so that none cuts it short. Go's garbage collector
// waits as well.
func (t *TestRun) Unbroken() (time.Duration, error) {
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, &old); err != nil {
		return 0, fmt.Errorf("block signals: %w", err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	return t.Timed()
}

// TimedLoop calls Run n times, each with a fresh copy of the input, and returns
// the thread's CPU time for all of them, system call overhead included. It
// serves programs whose packet drifts when a run is repeated, and types that
// accept no repeat count.
func (t *TestRun) TimedLoop(n int) (time.Duration, error) {
	t.fill()
	var before, after unix.Timespec
	fresh := t.attr
	unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&before)), 0)
	for i := 0; i < n; {
		t.attr = fresh // the kernel writes sizes back
		_, _, errno := unix.RawSyscall(unix.SYS_BPF, cmdProgTestRun, uintptr(unsafe.Pointer(&t.attr)), unsafe.Sizeof(t.attr))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, t.finish(errno)
		}
		i++
	}
	unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&after)), 0)
	return time.Duration(after.Nano() - before.Nano()), t.finish(0)
}
