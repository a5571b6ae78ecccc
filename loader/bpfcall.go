package loader

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of bpf(2) that this package issues itself. Loading whole objects is
// cilium/ebpf's business; these are the ones where it stands between a
// measurement and the kernel.
const (
	cmdMapCreate      = 0
	cmdMapLookup      = 1
	cmdMapUpdate      = 2
	cmdMapDelete      = 3
	cmdProgLoad       = 5
	cmdProgTestRun    = 10
	cmdProgNextID     = 11
	cmdProgFDByID     = 13
	cmdObjInfoByFD    = 15
	cmdMapLookupBatch = 24
	cmdLinkCreate     = 28
	cmdLinkUpdate     = 29
	cmdEnableStats    = 32
	maxSyscallRetries = 64
)

// bpfCall issues bpf(2) and repeats it while a signal interrupts it: Go's
// runtime preempts threads by signal, which the kernel answers with EINTR in a
// test run and with EAGAIN in a load.
func bpfCall(cmd uintptr, attr unsafe.Pointer, size uintptr) (uintptr, error) {
	var errno unix.Errno
	for range maxSyscallRetries {
		var r uintptr
		r, _, errno = unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		switch errno {
		case 0:
			return r, nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			if cmd == cmdProgLoad {
				continue
			}
		}
		break
	}
	return 0, errno
}

// escape is never true; it makes the compiler keep on the heap what address is
// given. A number does not follow its object when a growing stack moves.
var (
	escape bool
	sink   unsafe.Pointer
)

// address returns a pointer as the number that bpf(2) wants inside its
// attributes. The caller keeps the object alive.
func address(p unsafe.Pointer) uint64 {
	if escape {
		sink = p
	}
	return uint64(uintptr(p))
}

func ptr(b []byte) uint64 { return address(unsafe.Pointer(unsafe.SliceData(b))) }

// RawProg is a program loaded from instruction bytes: the measuring loop's
// empty program, packet generators, test programs.
type RawProg struct{ fd int }

// FD returns the program's file descriptor.
func (p *RawProg) FD() int { return p.fd }

// Close releases the program; the kernel keeps it while it is attached.
func (p *RawProg) Close() error { return unix.Close(p.fd) }

type progLoadAttr struct {
	progType    uint32
	insnCnt     uint32
	insns       uint64
	license     uint64
	logLevel    uint32
	logSize     uint32
	logBuf      uint64
	kernVersion uint32
	progFlags   uint32
	progName    [16]byte
	progIfindex uint32
	attachType  uint32
	btfFD       uint32
	funcInfoRec uint32
	funcInfo    uint64
	nrFuncInfo  uint32
	lineInfoRec uint32
	lineInfo    uint64
	nrLineInfo  uint32
	_           uint32
}

// RawOptions are the optional parts of LoadRaw.
type RawOptions struct {
	Name string
	// Flags is prog_flags (BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS).
	Flags uint32
	// AttachType is expected_attach_type.
	AttachType uint32
	// Log gets what the verifier writes about every instruction, as far as it fits.
	Log []byte
}

// logEverything is BPF_LOG_LEVEL2: the state at every instruction.
const logEverything = 2

// LoadRaw loads a program of the given type (enum bpf_prog_type) from encoded
// instructions, 8 bytes a slot. The error carries the verifier's log.
func LoadRaw(progType uint32, insns []byte, o RawOptions) (*RawProg, error) {
	if len(insns) == 0 || len(insns)%8 != 0 {
		return nil, fmt.Errorf("load: %d bytes are not a number of instructions", len(insns))
	}
	license := []byte("GPL\x00")
	a := progLoadAttr{
		progType:   progType,
		insnCnt:    uint32(len(insns) / 8),
		insns:      ptr(insns),
		license:    ptr(license),
		progFlags:  o.Flags,
		attachType: o.AttachType,
	}
	copy(a.progName[:15], o.Name)
	if len(o.Log) > 0 {
		a.logLevel, a.logSize, a.logBuf = logEverything, uint32(len(o.Log)), ptr(o.Log)
	}
	fd, err := bpfCall(cmdProgLoad, unsafe.Pointer(&a), unsafe.Sizeof(a))
	if err != nil && !errors.Is(err, unix.EPERM) {
		log := make([]byte, 64<<10)
		a.logLevel, a.logSize = 1, uint32(len(log))
		a.logBuf = ptr(log)
		var err2 error
		if fd, err2 = bpfCall(cmdProgLoad, unsafe.Pointer(&a), unsafe.Sizeof(a)); err2 != nil {
			return nil, fmt.Errorf("load: %w: %s", err, cString(log))
		}
		err = nil
	}
	runtime.KeepAlive(insns)
	runtime.KeepAlive(license)
	runtime.KeepAlive(o.Log)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return &RawProg{int(fd)}, nil
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// RawMap is a map made by number, for generators and tests.
type RawMap struct {
	fd                 int
	keySize, valueSize int
}

type mapCreateAttr struct {
	mapType, keySize, valueSize, maxEntries, flags uint32
}

// NewRawMap creates a map of the given type (enum bpf_map_type). Sizes are in
// bytes; per-CPU types are not supported.
func NewRawMap(mapType uint32, keySize, valueSize, maxEntries int) (*RawMap, error) {
	return NewRawMapFlags(mapType, keySize, valueSize, maxEntries, 0)
}

// NoPrealloc is BPF_F_NO_PREALLOC, which some map types insist on.
const NoPrealloc = 1

// NewRawMapFlags is NewRawMap with map_flags.
func NewRawMapFlags(mapType uint32, keySize, valueSize, maxEntries int, flags uint32) (*RawMap, error) {
	a := mapCreateAttr{mapType, uint32(keySize), uint32(valueSize), uint32(maxEntries), flags}
	fd, err := bpfCall(cmdMapCreate, unsafe.Pointer(&a), unsafe.Sizeof(a))
	if err != nil {
		return nil, fmt.Errorf("create map: %w", err)
	}
	return &RawMap{int(fd), keySize, valueSize}, nil
}

// FD returns the map's file descriptor.
func (m *RawMap) FD() int { return m.fd }

// Close releases the map.
func (m *RawMap) Close() error { return unix.Close(m.fd) }

type mapElemAttr struct {
	fd    uint32
	_     uint32
	key   uint64
	value uint64
	flags uint64
}

// Lookup copies the value of key into value.
func (m *RawMap) Lookup(key, value []byte) error { return m.elem(cmdMapLookup, key, value) }

// Update sets the value of key.
func (m *RawMap) Update(key, value []byte) error { return m.elem(cmdMapUpdate, key, value) }

// Delete removes key; one that is not there is no error.
func (m *RawMap) Delete(key []byte) error {
	if len(key) != m.keySize {
		return fmt.Errorf("map: key of %d bytes, want %d", len(key), m.keySize)
	}
	a := mapElemAttr{fd: uint32(m.fd), key: ptr(key)}
	_, err := bpfCall(cmdMapDelete, unsafe.Pointer(&a), unsafe.Sizeof(a))
	runtime.KeepAlive(key)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func (m *RawMap) elem(cmd uintptr, key, value []byte) error {
	if len(key) != m.keySize || len(value) != m.valueSize {
		return fmt.Errorf("map: key of %d and value of %d bytes, want %d and %d", len(key), len(value), m.keySize, m.valueSize)
	}
	a := mapElemAttr{
		fd:    uint32(m.fd),
		key:   ptr(key),
		value: ptr(value),
	}
	_, err := bpfCall(cmd, unsafe.Pointer(&a), unsafe.Sizeof(a))
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	return err
}

// progFDByID opens a program that somebody else loaded.
func progFDByID(id uint32) (int, error) {
	a := struct{ id, next, flags uint32 }{id: id}
	fd, err := bpfCall(cmdProgFDByID, unsafe.Pointer(&a), unsafe.Sizeof(a))
	return int(fd), err
}

// EnableRunStats has the kernel count runs and run time of every program until
// the returned descriptor is closed. It adds some 34 ns to each run.
func EnableRunStats() (fd int, err error) {
	a := struct{ kind uint32 }{}
	r, err := bpfCall(cmdEnableStats, unsafe.Pointer(&a), unsafe.Sizeof(a))
	return int(r), err
}

// ProgRuns is what the kernel counted for a program while run statistics were
// on.
type ProgRuns struct {
	Count  uint64
	Nanos  uint64
	Missed uint64
}

// progInfo is the head of struct bpf_prog_info up to verified_insns.
type progInfo struct {
	kind, id       uint32
	tag            [8]byte
	jitedLen       uint32
	xlatedLen      uint32
	jited, xlated  uint64
	loadTime       uint64
	uid            uint32
	nrMaps         uint32
	mapIDs         uint64
	name           [16]byte
	ifindex        uint32
	gpl            uint32
	netnsDev, ino  uint64
	nrKsyms        uint32
	nrFuncLens     uint32
	ksyms, lens    uint64
	btfID          uint32
	funcInfoRec    uint32
	funcInfo       uint64
	nrFuncInfo     uint32
	nrLineInfo     uint32
	lineInfo       uint64
	jitedLineInfo  uint64
	nrJitedLine    uint32
	lineInfoRec    uint32
	jitedLineRec   uint32
	nrTags         uint32
	tags           uint64
	runTimeNs      uint64
	runCnt         uint64
	recursionMiss  uint64
	verifiedInsns  uint32
	attachBTFObjID uint32
}

func infoByFD(fd int) (progInfo, error) {
	info := new(progInfo)
	a := struct {
		fd, len uint32
		info    uint64
	}{uint32(fd), uint32(unsafe.Sizeof(*info)), address(unsafe.Pointer(info))}
	_, err := bpfCall(cmdObjInfoByFD, unsafe.Pointer(&a), unsafe.Sizeof(a))
	return *info, err
}

// Runs reads a program's run statistics.
func Runs(fd int) (ProgRuns, error) {
	i, err := infoByFD(fd)
	return ProgRuns{i.runCnt, i.runTimeNs, i.recursionMiss}, err
}

// ProgType returns a loaded program's type (enum bpf_prog_type).
func ProgType(fd int) (uint32, error) {
	i, err := infoByFD(fd)
	return i.kind, err
}

// attachXDPType is BPF_XDP of enum bpf_attach_type.
const attachXDPType = 37

// linkXDP attaches a program by a BPF link, which ends with its descriptor.
func linkXDP(prog, ifindex int, m XDPMode) (int, error) {
	return linkCreate(prog, ifindex, attachXDPType, uint32(m))
}

// linkCreate attaches a program to a target (an interface's index, or the
// descriptor of a control group).
func linkCreate(prog, target int, attachType, flags uint32) (int, error) {
	a := struct{ prog, target, attachType, flags uint32 }{uint32(prog), uint32(target), attachType, flags}
	fd, err := bpfCall(cmdLinkCreate, unsafe.Pointer(&a), unsafe.Sizeof(a))
	return int(fd), err
}

// linkUpdate exchanges a link's program.
func linkUpdate(link, prog int) error {
	a := struct{ link, prog, flags, old uint32 }{uint32(link), uint32(prog), 0, 0}
	_, err := bpfCall(cmdLinkUpdate, unsafe.Pointer(&a), unsafe.Sizeof(a))
	return err
}

// ProgID returns the kernel's number of a loaded program.
func ProgID(fd int) (uint32, error) {
	i, err := infoByFD(fd)
	return i.id, err
}

// ProgramsNamed counts the loaded programs of this host with the given name (of
// which the kernel keeps 15 bytes).
func ProgramsNamed(name string) (int, error) {
	name = name[:min(len(name), 15)]
	return countPrograms(func(i *progInfo) bool { return cString(i.name[:]) == name })
}

// ProgramsOfType counts the loaded programs of this host of a type (enum
// bpf_prog_type).
func ProgramsOfType(kind uint32) (int, error) {
	return countPrograms(func(i *progInfo) bool { return i.kind == kind })
}

func countPrograms(match func(*progInfo) bool) (count int, err error) {
	for id := uint32(0); ; {
		a := struct{ start, next, flags uint32 }{start: id}
		if _, err := bpfCall(cmdProgNextID, unsafe.Pointer(&a), unsafe.Sizeof(a)); errors.Is(err, unix.ENOENT) {
			return count, nil
		} else if err != nil {
			return 0, fmt.Errorf("list programs: %w", err)
		}
		id = a.next
		fd, err := progFDByID(id)
		if err != nil {
			continue // it went meanwhile
		}
		info, err := infoByFD(fd)
		unix.Close(fd)
		if err == nil && match(&info) {
			count++
		}
	}
}

// ProgExists reports whether the kernel has a program with this number.
func ProgExists(id uint32) bool {
	fd, err := progFDByID(id)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// CodeAddress returns where the kernel put a program's machine code, 0 if it does
// not tell.
func CodeAddress(fd int) (uint64, error) {
	info, at := new(progInfo), new(uint64)
	info.ksyms, info.nrKsyms = address(unsafe.Pointer(at)), 1
	a := struct {
		fd, len uint32
		info    uint64
	}{uint32(fd), uint32(unsafe.Sizeof(*info)), address(unsafe.Pointer(info))}
	_, err := bpfCall(cmdObjInfoByFD, unsafe.Pointer(&a), unsafe.Sizeof(a))
	runtime.KeepAlive(info)
	return *at, err
}
