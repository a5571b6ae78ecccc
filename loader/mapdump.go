package loader

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNoDump means that user space cannot list the map's contents: queues,
// stacks, ring buffers, program and perf event arrays.
var ErrNoDump = errors.New("the map's contents cannot be listed")

// MapDump is a map's contents: Count keys and values side by side, in the
// kernel's order. The value of a per-CPU map is that of all CPUs, one after
// another, each padded to 8 bytes.
type MapDump struct {
	KeySize, ValueSize int
	Count              int
	Keys, Values       []byte
	// Ordered: the kernel lists the entries in key order (arrays).
	Ordered bool
}

// Key returns the i-th key.
func (d *MapDump) Key(i int) []byte { return d.Keys[i*d.KeySize : (i+1)*d.KeySize] }

// Value returns the i-th value.
func (d *MapDump) Value(i int) []byte { return d.Values[i*d.ValueSize : (i+1)*d.ValueSize] }

// MapView reads the contents of a map by its file descriptor, which it does not
// own.
type MapView struct {
	fd                                   int
	name                                 string
	kind, keySize, valueSize, maxEntries uint32
}

// Map types (enum bpf_map_type) by how they can be listed.
const (
	mapHash          = 1
	mapArray         = 2
	mapPerCPUHash    = 5
	mapPerCPUArray   = 6
	mapLRUHash       = 9
	mapLRUPerCPUHash = 10
	mapLPMTrie       = 11
)

// NewMapView asks the kernel what the map is. An empty name stands for the
// kernel's, which is cut to 15 bytes.
func NewMapView(fd int, name string) (*MapView, error) {
	info, err := mapInfoByFD(fd)
	if err != nil {
		return nil, fmt.Errorf("map info: %w", err)
	}
	if name == "" {
		name = cString(info.name[:])
	}
	return &MapView{fd, name, info.kind, info.keySize, info.valueSize, info.maxEntries}, nil
}

// mapInfo is the head of struct bpf_map_info.
type mapInfo struct {
	kind, id, keySize, valueSize, maxEntries, flags uint32
	name                                            [16]byte
}

func mapInfoByFD(fd int) (mapInfo, error) {
	info := new(mapInfo)
	a := struct {
		fd, len uint32
		info    uint64
	}{uint32(fd), uint32(unsafe.Sizeof(*info)), address(unsafe.Pointer(info))}
	_, err := bpfCall(cmdObjInfoByFD, unsafe.Pointer(&a), unsafe.Sizeof(a))
	runtime.KeepAlive(info)
	return *info, err
}

// MapID returns the kernel's number of a map.
func MapID(fd int) (uint32, error) {
	info, err := mapInfoByFD(fd)
	return info.id, err
}

// Name returns the map's name.
func (m *MapView) Name() string { return m.name }

type mapBatchAttr struct {
	in, out, keys, values uint64
	count                 uint32
	fd                    uint32
	elemFlags, flags      uint64
}

// Dump reads the whole map into d, whose buffers it reuses. The map should be at
// rest: entries that come and go meanwhile may be missed.
func (m *MapView) Dump(d *MapDump) error {
	value := int(m.valueSize)
	switch m.kind {
	case mapPerCPUHash, mapPerCPUArray, mapLRUPerCPUHash:
		value = (value + 7) / 8 * 8 * possibleCPUs()
	case mapHash, mapArray, mapLRUHash, mapLPMTrie:
	default:
		return fmt.Errorf("map %s of type %d: %w", m.name, m.kind, ErrNoDump)
	}
	d.KeySize, d.ValueSize, d.Count = int(m.keySize), value, 0
	d.Ordered = m.kind == mapArray || m.kind == mapPerCPUArray
	d.Keys, d.Values = d.Keys[:0], d.Values[:0]

	// A batch must hold a hash bucket; the kernel says ENOSPC when it does not.
	chunk := min(max(int(m.maxEntries), 1), 4096)
	// The position is a key for arrays and tries, a bucket number for hashes.
	in, out := make([]byte, max(d.KeySize, 8)), make([]byte, max(d.KeySize, 8))
	for first := true; ; {
		d.Keys = grow(d.Keys, (d.Count+chunk)*d.KeySize)
		d.Values = grow(d.Values, (d.Count+chunk)*value)
		a := mapBatchAttr{
			out:    ptr(out),
			keys:   ptr(d.Keys[d.Count*d.KeySize:]),
			values: ptr(d.Values[d.Count*value:]),
			count:  uint32(chunk),
			fd:     uint32(m.fd),
		}
		if !first {
			a.in = ptr(in)
		}
		_, err := bpfCall(cmdMapLookupBatch, unsafe.Pointer(&a), unsafe.Sizeof(a))
		runtime.KeepAlive(in)
		runtime.KeepAlive(out)
		if errors.Is(err, unix.ENOSPC) && chunk < 1<<20 {
			chunk *= 2
			continue
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("list map %s: %w", m.name, err)
		}
		d.Count += int(a.count)
		if err != nil || a.count == 0 {
			break
		}
		in, out = out, in
		first = false
	}
	d.Keys, d.Values = d.Keys[:d.Count*d.KeySize], d.Values[:d.Count*value]
	return nil
}

func grow(b []byte, n int) []byte {
	if cap(b) >= n {
		return b[:n]
	}
	c := make([]byte, n, n+n/4)
	copy(c, b)
	return c
}

var possibleCPUs = sync.OnceValue(func() int {
	b, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if err != nil {
		return runtime.NumCPU()
	}
	// "0-3" or "0": the last number of the last range.
	s := strings.TrimSpace(string(b))
	s = s[strings.LastIndexAny(s, ",-")+1:]
	n, err := strconv.Atoi(s)
	if err != nil {
		return runtime.NumCPU()
	}
	return n + 1
})
