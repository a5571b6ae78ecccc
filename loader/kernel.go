package loader

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/optimizer/elf/relax"
)

// ErrPrivilege is returned when loading needs rights that the process lacks.
var ErrPrivilege = errors.New("loading BPF programs needs root (or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON): run with sudo")

// LoadResult is the verifier's verdict about one program.
type LoadResult struct {
	Accepted bool
	// Reason is why it was refused, Log the end of what the verifier said.
	Reason Reason
	Log    string
	// Function and Slot locate the refused instruction: 8-byte slots from the
	// start of that function; empty and -1 when unknown.
	Function string
	Slot     int
	// Sizes in bytes of what runs.
	XlatedBytes, JitedBytes int
	// Stats are the verifier's own figures.
	Stats Stats
}

// Kernel loads programs into the running kernel. Maps are created once and
// serve all later loads of objects with the same definitions.
type Kernel struct {
	// Type is the section name ("xdp", "tc", ...) that gives the type of
	// programs whose own section's name gives none.
	Type string
	// Limit bounds one load; 0 means 30 s.
	Limit time.Duration

	mu   sync.Mutex
	maps map[string]cachedMap
	// sets holds the maps of prepared programs by Prepared.Set, types their types
	// by digest.
	sets  map[[sha256.Size]byte]map[string]*ebpf.Map
	types map[[sha256.Size]byte]*btf.Handle
	log   []byte // room for the verifier's log
	last  lastRead
}

// lastRead is what the program read last consists of: a program is often asked about
// twice in a row.
type lastRead struct {
	object       []byte
	program, typ string
	spec         *ebpf.CollectionSpec
}

// read gives a program of an object with what it needs, not to be changed.
func (k *Kernel) read(object []byte, program string) (*ebpf.CollectionSpec, error) {
	k.mu.Lock()
	l := k.last
	k.mu.Unlock()
	if l.spec != nil && l.program == program && l.typ == k.Type && bytes.Equal(l.object, object) {
		return l.spec, nil
	}
	spec, err := parse(object, program, k.Type, false)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.last = lastRead{bytes.Clone(object), program, k.Type, spec}
	k.mu.Unlock()
	return spec, nil
}

type cachedMap struct {
	spec *ebpf.MapSpec
	m    *ebpf.Map
}

// NewKernel prepares loading.
func NewKernel() (*Kernel, error) {
	if err := rlimit.RemoveMemlock(); err != nil && os.Geteuid() != 0 {
		return nil, ErrPrivilege
	}
	return &Kernel{maps: map[string]cachedMap{}, sets: map[[sha256.Size]byte]map[string]*ebpf.Map{},
		types: map[[sha256.Size]byte]*btf.Handle{}}, nil
}

// Release returns the running kernel's version.
func Release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// Close frees the maps.
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.maps {
		c.m.Close()
	}
	k.maps = map[string]cachedMap{}
	clear(k.sets)
	k.dropTypes()
	return nil
}

// Load asks the verifier about a program of an object, where that is possible
// about its code and types alone (see Prepared). An error means that no verdict
// was had.
func (k *Kernel) Load(ctx context.Context, object []byte, program string) (*LoadResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	spec, err := k.read(object, program)
	if err != nil {
		return unreadable(err), nil
	}
	return k.ask(ctx, object, spec, program)
}

// ask is Load of an object that was read.
func (k *Kernel) ask(ctx context.Context, object []byte, spec *ebpf.CollectionSpec, program string) (*LoadResult, error) {
	p := prepare(object, spec, program)
	k.mu.Lock()
	defer k.mu.Unlock()
	if p != nil {
		if k.sets[p.Set] == nil && k.makeMaps(spec) {
			k.keepSet(spec, p)
		}
		if r, err := k.quick(ctx, p); !errors.Is(err, errWhole) {
			return r, err
		}
	}
	return k.whole(ctx, object, spec, program, p)
}

// makeMaps creates the maps of an object that are not there yet, if that can be
// done without its programs, and reports whether all are there. Large maps take a
// while: those of a program that is refused serve the next one.
func (k *Kernel) makeMaps(spec *ebpf.CollectionSpec) bool {
	have := k.replacements(spec)
	if len(have) == len(spec.Maps) {
		return true
	}
	bare := *spec
	bare.Programs = nil
	coll, err := newCollection(&bare, ebpf.CollectionOptions{MapReplacements: have})
	if err != nil {
		return false // loading the object will tell why
	}
	defer coll.Close()
	k.keep(spec, coll)
	return true
}

// keepSet notes which maps a prepared program uses.
func (k *Kernel) keepSet(spec *ebpf.CollectionSpec, p *Prepared) {
	set := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		set[name] = k.maps[cacheName(spec, name)].m
	}
	k.sets[p.Set] = set
}

// graphNote is added to a refusal that may not be the program's fault: the
// library loads the types of each map and each program apart.
const graphNote = " (the object has lists or trees in maps; they need the types of maps and programs to be loaded together, as libbpf does and this loader does not)"

// LoadWhole is Load with all that the object holds, always.
func (k *Kernel) LoadWhole(ctx context.Context, object []byte, program string) (*LoadResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	spec, err := parse(object, program, k.Type, false)
	if err != nil {
		return unreadable(err), nil
	}
	p := prepare(object, spec, program)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.whole(ctx, object, spec, program, p)
}

func unreadable(err error) *LoadResult {
	return &LoadResult{Reason: Reason{Kind: ReasonObject, Line: err.Error(), Slot: -1, Register: -1}, Slot: -1}
}

// whole loads a program by way of the library and keeps its maps, for p too if
// it is not nil. The lock is held.
func (k *Kernel) whole(ctx context.Context, object []byte, spec *ebpf.CollectionSpec, program string, p *Prepared) (*LoadResult, error) {
	k.makeMaps(spec)
	opts := ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}, MapReplacements: k.replacements(spec)}
	a, err := within(ctx, k.limit(), func() answer { return load(spec, opts, program) }, answer.drop)
	switch {
	case errors.Is(err, errSlow):
		return tooSlow(err), nil
	case err != nil:
		return nil, err
	case a.coll == nil:
		if a.refused != nil && relax.HasGraphs(object) {
			a.refused.Reason.Line += graphNote
		}
		return a.refused, a.err
	}
	defer a.coll.Close()
	k.keep(spec, a.coll)
	if p != nil {
		k.keepSet(spec, p)
	}
	return accepted(a.coll.Programs[program])
}

// answer is a loaded collection, or why there is none.
type answer struct {
	coll    *ebpf.Collection
	refused *LoadResult
	err     error
}

func (a answer) drop() {
	if a.coll != nil {
		a.coll.Close()
	}
}

// load asks the verifier, and once more if it refuses.
func load(spec *ebpf.CollectionSpec, opts ebpf.CollectionOptions, program string) answer {
	coll, err := newCollection(spec, opts)
	if err == nil {
		return answer{coll: coll}
	}
	if os.Geteuid() != 0 && errors.Is(err, unix.EPERM) {
		return answer{err: ErrPrivilege}
	}
	// Once more, to hear why. At this level the log holds the path that failed
	// and none of those before it.
	opts.Programs.LogLevel |= ebpf.LogLevelBranch
	if coll, err = newCollection(spec, opts); err != nil {
		return answer{refused: refused(err, spec.Programs[program].Instructions)}
	}
	return answer{coll: coll}
}

// cacheName is where a map of an object is kept: maps of constants are made twice,
// under two names, see unset; maps that belong to the first program that names them
// are made for each.
func cacheName(spec *ebpf.CollectionSpec, name string) string {
	m := spec.Maps[name]
	return name + " " + m.Name + owner(spec, m)
}

// owner tells the programs apart that may not share a map: from the first one on,
// those of another type or attachment cannot load with a map that runs programs.
func owner(spec *ebpf.CollectionSpec, m *ebpf.MapSpec) string {
	var out string
	switch m.Type {
	case ebpf.ProgramArray, ebpf.DevMap, ebpf.DevMapHash, ebpf.CPUMap:
		for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
			p := spec.Programs[name]
			out += fmt.Sprintf(" of %s %d %d %s %d", name, p.Type, p.AttachType, p.AttachTo, p.Flags)
		}
	}
	return out
}

func (k *Kernel) replacements(spec *ebpf.CollectionSpec) map[string]*ebpf.Map {
	out := map[string]*ebpf.Map{}
	for name, s := range spec.Maps {
		// Copies: copying alters how the library writes "no type".
		if c, ok := k.maps[cacheName(spec, name)]; ok && reflect.DeepEqual(c.spec, s.Copy()) {
			out[name] = c.m
		}
	}
	return out
}

// keep takes over the maps that a load created.
func (k *Kernel) keep(spec *ebpf.CollectionSpec, coll *ebpf.Collection) {
	for name := range coll.Maps {
		s := spec.Maps[name]
		if s == nil {
			continue
		}
		at := cacheName(spec, name)
		if c, ok := k.maps[at]; ok {
			if reflect.DeepEqual(c.spec, s.Copy()) {
				continue
			}
			c.m.Close()
			clear(k.sets)
		}
		k.maps[at] = cachedMap{s.Copy(), coll.DetachMap(name)}
	}
}

// newCollection retries what Go's own signals interrupt.
func newCollection(spec *ebpf.CollectionSpec, opts ebpf.CollectionOptions) (*ebpf.Collection, error) {
	opts.Cache = relax.Kernel
	for try := 0; ; try++ {
		c, err := ebpf.NewCollectionWithOptions(spec.Copy(), opts)
		if err == nil || try == 4 || !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return c, err
		}
	}
}

func accepted(p *ebpf.Program) (*LoadResult, error) {
	r := &LoadResult{Accepted: true, Slot: -1, Stats: ParseStats(p.VerifierLog), Reason: Reason{Slot: -1, Register: -1}}
	info, err := p.Info()
	if err != nil {
		return nil, err
	}
	if n, err := info.TranslatedSize(); err == nil {
		r.XlatedBytes = n
	}
	if n, err := info.JitedSize(); err == nil {
		r.JitedBytes = int(n)
	}
	return r, nil
}

// maxLog bounds the log that a result keeps, in bytes.
const maxLog = 64 << 10

func refused(err error, code asm.Instructions) *LoadResult {
	var funcs []FuncStart
	slots := 0
	for k := range code {
		if s := code[k].Symbol(); s != "" {
			funcs = append(funcs, FuncStart{slots, s})
		}
		slots += int(code[k].Size()) / asm.InstructionSize
	}
	return refusal(err, funcs, slots)
}

// refusal describes why a program with these functions, of so many slots, was
// refused.
func refusal(err error, funcs []FuncStart, slots int) *LoadResult {
	r := &LoadResult{Slot: -1, Reason: Reason{Slot: -1, Register: -1}}
	var v *ebpf.VerifierError
	if errors.As(err, &v) {
		r.Log = strings.Join(v.Log, "\n")
		if n := len(r.Log) - maxLog; n > 0 {
			r.Log = r.Log[n:]
		}
		if strings.Contains(err.Error(), "load BTF") && len(v.Log) > 0 {
			// A log about types, which ends with the one that is wrong.
			r.Reason.Kind, r.Reason.Line = ReasonDebug, "the kernel refuses the types: "+v.Log[len(v.Log)-1]
			return r
		}
		r.Reason = ParseLog(v.Log)
		r.Stats = ParseStats(strings.Join(v.Log, "\n"))
		r.Function, r.Slot = locate(funcs, slots, r.Reason.Slot)
		if strings.Contains(r.Reason.Line, noTarget) {
			r.Reason.Line = "this kernel lacks a type or field that the program reads (a CO-RE relocation finds no target): " + r.Reason.Line
		}
		err = v.Cause
	}
	if r.Reason.Line == "" {
		r.Reason.Line, r.Reason.Kind = err.Error(), classifyError(err)
		if r.Reason.Kind == ReasonPermission {
			r.Reason.Line = notPermitted()
		}
	}
	return r
}

// locate finds the function that slot n of a program with its subprograms
// belongs to, and the place there.
func locate(funcs []FuncStart, slots, n int) (function string, slot int) {
	if n < 0 || n >= slots {
		return "", -1
	}
	slot = -1
	for _, f := range funcs {
		if f.Slot <= n {
			function, slot = f.Name, n-f.Slot
		}
	}
	return function, slot
}

// notPermitted explains EPERM from a load that the verifier did not judge. The
// library guesses at the limit for locked memory, which counts only in kernels
// before 5.11 and for processes without CAP_SYS_RESOURCE.
func notPermitted() string {
	need := []struct {
		cap  uint
		name string
	}{{unix.CAP_BPF, "CAP_BPF"}, {unix.CAP_PERFMON, "CAP_PERFMON"}, {unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}}
	var missing []string
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err == nil {
		for _, n := range need {
			if data[n.cap/32].Effective>>(n.cap%32)&1 == 0 {
				missing = append(missing, n.name)
			}
		}
	}
	if len(missing) > 0 {
		return "not permitted: this process lacks " + strings.Join(missing, ", ")
	}
	return "not permitted although no capability is missing: this kernel's security policy forbids what the program attaches to"
}
