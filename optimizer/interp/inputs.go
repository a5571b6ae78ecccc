package interp

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// Generator makes test inputs for one program: packets and contexts in turn from
// the given ones or at random, and maps filled with random entries. The same
// seed gives the same inputs.
type Generator struct {
	r       *rand.Rand
	t       prog.Type
	maps    []*prog.Map
	words   []uint64 // constants of the program: likely keys, protocols, ports
	packets [][]byte
}

// NewGenerator makes a generator; packets (traffic from outside) may be empty.
func NewGenerator(f *prog.Func, funcs map[string]*prog.Func, packets [][]byte, seed uint64) *Generator {
	g := &Generator{r: rand.New(rand.NewPCG(seed, 0x696e7075)), t: f.Type, packets: packets}
	seen := map[string]bool{}
	all := []*prog.Func{f}
	for _, s := range funcs {
		if s != f {
			all = append(all, s)
		}
	}
	slices.SortFunc(all[1:], func(a, b *prog.Func) int { return strings.Compare(a.Name, b.Name) })
	for _, fn := range all {
		for k := range fn.Insns {
			in := &fn.Insns[k]
			if in.Ref != nil && in.Ref.Map != nil && !seen[in.Ref.Map.Name] {
				seen[in.Ref.Map.Name] = true
				g.maps = append(g.maps, in.Ref.Map)
			}
			if row := in.Row(); row.Imm && in.Ref == nil && (row.Kind == isa.KindCondJump || row.Kind == isa.KindALU) {
				g.words = append(g.words, uint64(in.Imm))
			}
		}
	}
	return g
}

// Next makes an input.
func (g *Generator) Next() *Input {
	in := &Input{Packet: g.packet(), Seed: g.r.Uint64(), Maps: map[string][]Entry{}}
	for _, m := range g.maps {
		if m.Data == nil {
			in.Maps[m.Name] = g.entries(m)
		}
	}
	size := 64
	switch g.t {
	case prog.TypeXDP:
		size = 24
	case prog.TypeSchedCLS, prog.TypeSchedACT, prog.TypeCgroupSKB, prog.TypeSocketFilter, prog.TypeLWTIn, prog.TypeLWTOut, prog.TypeLWTXmit:
		size = 192
	}
	in.Ctx = g.bytes(size)
	return in
}

// bytes draws n bytes: mostly words that matter to the program, in either byte
// order, else small or random ones.
func (g *Generator) bytes(n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		v := g.r.Uint64()
		switch g.r.IntN(6) {
		case 0:
			v = 0
		case 1, 2:
			v = uint64(g.r.IntN(16))
		case 3:
			if len(g.words) > 0 {
				v = g.words[g.r.IntN(len(g.words))]
			}
		}
		switch w := g.r.IntN(4); {
		case w == 0:
			b = append(b, byte(v))
		case w == 1 && g.r.IntN(2) == 0:
			b = binary.BigEndian.AppendUint16(b, uint16(v))
		case w == 1:
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		case w == 2:
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		default:
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	return b[:n]
}

// packet takes a given packet, sometimes cut or with a few bytes changed, or
// makes one of plausible headers.
func (g *Generator) packet() []byte {
	var p []byte
	if len(g.packets) > 0 {
		p = slices.Clone(g.packets[g.r.IntN(len(g.packets))])
	} else {
		p = g.headers()
	}
	switch g.r.IntN(8) {
	case 0:
		p = p[:min(len(p), 14+g.r.IntN(50))]
	case 1, 2:
		for range 1 + g.r.IntN(3) {
			if len(p) > 0 {
				copy(p[g.r.IntN(len(p)):], g.bytes(1+g.r.IntN(4)))
			}
		}
	}
	return p
}

// headers is an Ethernet frame with IPv4 or IPv6 and TCP, UDP, ICMP or noise.
func (g *Generator) headers() []byte {
	p := append(g.bytes(12), 0x08, 0x00)
	proto := []byte{6, 17, 1, 58, 4}[g.r.IntN(5)]
	length := 20 + g.r.IntN(80)
	if g.r.IntN(3) == 0 {
		p[12], p[13] = 0x86, 0xdd
		p = append(p, 0x60, 0, 0, 0, 0, byte(length), proto, byte(1+g.r.IntN(64)))
		p = append(p, g.bytes(32)...)
	} else {
		p = append(p, 0x45, 0, 0, byte(20+length), 0, 0, 0, 0, byte(1+g.r.IntN(64)), proto, 0, 0)
		if g.r.IntN(8) == 0 {
			p[14+6] = 0x20 // more fragments
		}
		p = append(p, g.bytes(8)...)
	}
	return append(p, g.bytes(length)...)
}

// entries fills a map: a handful of elements, at times none or many.
func (g *Generator) entries(m *prog.Map) []Entry {
	n := []int{0, 1, 2, 8, 32}[g.r.IntN(5)]
	var out []Entry
	for range min(n, int(m.MaxEntries)) {
		e := Entry{Key: g.bytes(int(m.KeySize)), Value: g.bytes(int(m.ValueSize))}
		switch m.Type {
		case prog.MapHash, prog.MapLRUHash, prog.MapPerCPUHash, prog.MapLRUPerCPUHash:
		case prog.MapLPMTrie:
			if len(e.Key) < 5 {
				continue
			}
			binary.LittleEndian.PutUint32(e.Key, uint32(g.r.IntN(8*(len(e.Key)-4)+1)))
		case prog.MapArray, prog.MapPerCPUArray, prog.MapDevMap, prog.MapCPUMap, prog.MapXSKMap:
			if len(e.Key) != 4 || m.MaxEntries == 0 {
				continue
			}
			binary.LittleEndian.PutUint32(e.Key, uint32(g.r.IntN(int(min(m.MaxEntries, 1<<16)))))
		default: // programs, maps, rings: nothing that bytes could describe
			return nil
		}
		out = append(out, e)
	}
	return out
}
