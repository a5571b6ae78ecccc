package loader

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Levels of the verifier's log.
const (
	logBranch = 1
	logStats  = 4
)

const (
	// statsSize and firstLog are sizes in bytes of the buffers for logs of a
	// program that is accepted, and of one that is not.
	statsSize = 16 << 10
	firstLog  = 256 << 10
	lastLog   = 64 << 20
	// maxTypes bounds the types that a kernel keeps for programs to come.
	maxTypes = 64
)

// errWhole says that the object must be loaded as a whole.
var errWhole = errors.New("this kernel does not know the program's maps or cannot take its types")

// LoadPrepared asks the verifier about a prepared program. known is false if an
// object with the same maps must be loaded first, with Load.
func (k *Kernel) LoadPrepared(ctx context.Context, p *Prepared) (r *LoadResult, known bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, err = k.quick(ctx, p)
	if errors.Is(err, errWhole) {
		return nil, false, nil
	}
	return r, true, err
}

// quick loads a prepared program. The lock is held.
func (k *Kernel) quick(ctx context.Context, p *Prepared) (*LoadResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	set, ok := k.sets[p.Set]
	if !ok {
		return nil, errWhole
	}
	code := bytes.Clone(p.Code)
	for _, u := range p.Maps {
		m := set[u.Name]
		if m == nil || u.Slot < 0 || 8*u.Slot+8 > len(code) {
			return nil, errWhole
		}
		binary.LittleEndian.PutUint32(code[8*u.Slot+4:], uint32(m.FD()))
	}
	types, err := k.typesOf(p.BTF)
	if err != nil {
		return nil, errWhole
	}
	var a quickAnswer
	err = interruptible(ctx, k.limit(), func(stopped func() bool) { a = k.loadQuick(p, code, types, stopped) })
	defer a.drop()
	switch {
	case a.result != nil && a.result.Accepted: // it made it in time
	case errors.Is(err, errSlow):
		return tooSlow(err), nil
	case err != nil:
		return nil, err
	}
	return a.result, a.err
}

// limit bounds one load.
func (k *Kernel) limit() time.Duration { return cmp.Or(k.Limit, loadLimit) }

func tooSlow(err error) *LoadResult {
	return &LoadResult{Reason: Reason{Kind: ReasonComplexity, Line: err.Error(), Slot: -1, Register: -1}, Slot: -1}
}

// typesOf returns the kernel's handle for a program's types, nil for none.
func (k *Kernel) typesOf(raw []byte) (*btf.Handle, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	key := sha256.Sum256(raw)
	if h := k.types[key]; h != nil {
		return h, nil
	}
	h, err := btf.NewHandleFromRawBTF(raw)
	if err != nil {
		return nil, err
	}
	if len(k.types) >= maxTypes {
		k.dropTypes()
	}
	k.types[key] = h
	return h, nil
}

func (k *Kernel) dropTypes() {
	for _, h := range k.types {
		h.Close()
	}
	clear(k.types)
}

// quickAnswer is a verdict with the program while it is loaded.
type quickAnswer struct {
	fd     int // 0 for none
	result *LoadResult
	err    error
}

func (a quickAnswer) drop() {
	if a.fd > 0 {
		unix.Close(a.fd)
	}
}

// loadQuick asks the verifier, and once more if it refuses, to hear why.
func (k *Kernel) loadQuick(p *Prepared, code []byte, types *btf.Handle, stopped func() bool) quickAnswer {
	license := append([]byte(p.License), 0)
	a := progLoadAttr{
		progType:   p.Type,
		insnCnt:    uint32(len(code) / 8),
		insns:      ptr(code),
		license:    ptr(license),
		progFlags:  p.Flags,
		attachType: p.Attach,
	}
	copy(a.progName[:15], strings.Map(objectName, p.Name))
	if types != nil && len(p.FuncInfo) > 0 {
		a.btfFD, a.funcInfoRec = uint32(types.FD()), btf.FuncInfoSize
		a.funcInfo, a.nrFuncInfo = ptr(p.FuncInfo), uint32(len(p.FuncInfo))/btf.FuncInfoSize
	}
	defer runtime.KeepAlive(types)
	defer runtime.KeepAlive(p)
	defer runtime.KeepAlive(license)
	defer runtime.KeepAlive(code)
	fd, log, err := k.loadLogged(a, logStats, statsSize, stopped)
	if err == nil {
		return judged(fd, log)
	}
	if errors.Is(err, unix.EPERM) && len(log) == 0 {
		return quickAnswer{err: errWhole} // the other way knows the reasons
	}
	for size := firstLog; !givenUp(log); size *= 4 {
		fd, log, err = k.loadLogged(a, logStats|logBranch, size, stopped)
		if err == nil {
			return judged(fd, log)
		}
		if !errors.Is(err, unix.ENOSPC) || size >= lastLog || ended(log) {
			break
		}
	}
	lines := strings.Split(strings.TrimRight(log, " \n"), "\n")
	return quickAnswer{result: refusal(&ebpf.VerifierError{Cause: err, Log: lines}, p.Funcs, len(code)/8)}
}

// givenUp: the verifier processed as many instructions as it ever does. Where it
// was then means nothing, and to hear that would take longest.
func givenUp(log string) bool { return strings.Contains(log, "program is too large") }

// ended tells whether a log that did not fit has its end: since Linux 6.4 it is the
// beginning that is missing.
func ended(log string) bool {
	const last = 1000 // bytes that hold the statistics
	return strings.Contains(log[max(0, len(log)-last):], "\nprocessed ")
}

// judged describes an accepted program.
func judged(fd int, log string) quickAnswer {
	info, err := infoByFD(fd)
	if err != nil {
		return quickAnswer{fd: fd, err: err}
	}
	return quickAnswer{fd: fd, result: &LoadResult{Accepted: true, Slot: -1, Reason: Reason{Slot: -1, Register: -1},
		Stats: ParseStats(log), XlatedBytes: int(info.xlatedLen), JitedBytes: int(info.jitedLen)}}
}

// loadLogged loads a program with room for a log. It begins anew when a signal
// interrupts it, until stopped.
func (k *Kernel) loadLogged(a progLoadAttr, level uint32, size int, stopped func() bool) (fd int, log string, err error) {
	if len(k.log) < size {
		k.log = make([]byte, size)
	}
	buf := k.log[:size]
	buf[0] = 0
	a.logLevel, a.logSize, a.logBuf = level, uint32(size), ptr(buf)
	defer runtime.KeepAlive(buf)
	for {
		n, _, errno := unix.Syscall(unix.SYS_BPF, cmdProgLoad, uintptr(unsafe.Pointer(&a)), unsafe.Sizeof(a))
		switch {
		case errno == 0:
			return int(n), cString(buf), nil
		case errno != unix.EAGAIN || stopped():
			return 0, cString(buf), errno
		}
	}
}

// objectName replaces what the kernel does not take in names.
func objectName(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' {
		return r
	}
	return -1
}
