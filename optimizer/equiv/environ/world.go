package environ

import (
	"hash/fnv"
	"math/bits"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// World is an environment. Use NewWorld.
type World struct {
	number, seed uint64
	pool         []uint64 // values worth meeting
	size         uint64   // packet length in bytes
	args         [5]prog.Arg
}

// Where things lie. The kinds of memory are far apart, and no part of an address
// is 0 everywhere: a result that is one must be seen to be none.
const (
	frameTop   = 0xffffc900_0010_0000
	contextAt  = 0xffff8880_1000_0000
	packetAt   = 0xffff8881_1230_2040
	mapsAt     = 0x8000_0000_0000_0000
	symbolsAt  = 0xffffffff_a000_0000
	packetStep = 1 << 24 // between the packet's places before and after a change
)

// NewWorld makes an environment. Values that the function compares with or
// masks by turn up in it often, in both byte orders.
func NewWorld(seed uint64, f *prog.Func) *World { return newWorld(seed, f, poolOf(f)) }

// poolOf gives the values worth meeting in environments of f.
func poolOf(f *prog.Func) []uint64 {
	pool := append(make([]uint64, 0, 16+6*len(f.Insns)), 0, 1, 2, 3, 4, 7, 8, 16, 0x45, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1<<63, ^uint64(0), 0)
	for k := range f.Insns {
		in := &f.Insns[k]
		if !in.Row().Imm || in.Row().Kind == isa.KindCallHelper {
			continue
		}
		v := uint64(in.Imm)
		pool = append(pool, v, v, v+1, v-1, uint64(bits.ReverseBytes16(uint16(v))), uint64(bits.ReverseBytes32(uint32(v))))
	}
	return pool
}

func newWorld(seed uint64, f *prog.Func, pool []uint64) *World {
	w := &World{number: seed, seed: mix(seed, 0), pool: pool}
	sizes := []uint64{0, 13, 14, 34, 42, 54, 60, 64, 100, 200, 1500}
	w.size = sizes[w.hash(1)%uint64(len(sizes))]
	for i := range w.args {
		w.args[i] = f.Given(isa.R1 + isa.Reg(i))
	}
	return w
}

// argument is what an argument register holds at entry.
func (w *World) argument(r isa.Reg) uint64 {
	h := w.hash(3, uint64(r))
	switch a := w.args[r-isa.R1]; a.Kind {
	case prog.ArgContext:
		return contextAt
	case prog.ArgPacket:
		return packetAt + h%(w.size+1)
	case prog.ArgPacketEnd:
		return packetAt + w.size
	case prog.ArgScalar:
		v := w.value(h)
		if n := a.Max - a.Min + 1; n != 0 && (v < a.Min || v > a.Max) {
			v = a.Min + v%n
		}
		return v
	}
	return h
}

func mix(a, b uint64) uint64 {
	x := a ^ b*0x9e3779b97f4a7c15
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

func (w *World) hash(parts ...uint64) uint64 {
	h := w.seed
	for _, p := range parts {
		h = mix(h, p)
	}
	return h
}

// value picks something interesting, or anything.
func (w *World) value(h uint64) uint64 {
	if h&7 == 0 {
		return mix(h, 1)
	}
	return w.pool[(h>>3)%uint64(len(w.pool))]
}

// initial is the aligned word with that number before anyone wrote there. Words
// are cut into one, two, four or eight byte fields.
func (w *World) initial(word, epoch uint64) uint64 {
	h := w.hash(2, word, epoch)
	size := 8 << (h & 3) // bits of a field
	if size == 64 {
		return w.value(mix(h, 0))
	}
	var v uint64
	for at, field := 0, uint64(0); at < 64; at, field = at+size, field+1 {
		v |= low(w.value(mix(h, field)), uint8(size)) << at
	}
	return v
}

func name(s string) uint64 {
	f := fnv.New32a()
	f.Write([]byte(s))
	return uint64(f.Sum32())
}

// mapAt is where the first value of the array with that hash of its name lies:
// no two are within 4 GB of each other but by the rarest chance.
func mapAt(name uint64) uint64 { return mapsAt | mix(name, 1)>>4&^0xffff_ffff | 0x2340_1110 }

// elementAt is where an element of a map that is no array lies. Different keys
// have different elements.
func elementAt(base, h uint64) uint64 { return base ^ 1<<61 ^ h<<8&^(1<<63) }

// contextPointer tells whether a context field holds a packet address, and
// which: its start or its end.
func contextPointer(t prog.Type, off uint64, n int) (start, ok bool) {
	if n != 4 {
		return false, false
	}
	switch t {
	case prog.TypeXDP:
		return off != 4, off == 0 || off == 4 || off == 8
	case prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeSocketFilter, prog.TypeCgroupSKB, prog.TypeLWTIn, prog.TypeLWTOut, prog.TypeLWTXmit:
		return off != 80, off == 76 || off == 80 || off == 140
	}
	return false, false
}
