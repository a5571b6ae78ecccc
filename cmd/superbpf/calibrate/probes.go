package calibrate

import (
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// probe is one thing to price.
type probe struct {
	key string // a row's name, a helper's with its map type, or one of the names below
	n   int    // copies
	// body adds copy i; what it holds beyond the thing itself is in rest.
	body func(c *code, i int)
	rest []isa.Insn
	// sub is a subprogram behind the end, called by body.
	sub []isa.Insn
	// maps are needed, by name, with a zero key inserted where that is possible.
	maps []prog.MapType
	// xdp: the probe is an XDP program instead of a classifier.
	xdp bool
}

// Keys of probes that are neither rows nor helpers.
const (
	keyLong  = "long constant"
	keyTaken = "taken branch"
	keyPlain = "subprogram"
	keyPush  = "callee-saved registers"
	keyOuter = "store to the caller's frame"
	keyFrame = "stack frame"
	keyFetch = "code from the second cache"
	keyWait  = "wait for stores"
)

// copies of a cheap and of a dear thing, and of one that must not fit into the
// first cache: some 100 kB of machine code.
const many, few, large = 480, 60, 20000

// work are the registers that straight runs compute with in turn, so that one
// copy need not wait for the one before; r7 to r9 are the operands.
var work = []isa.Reg{isa.R0, isa.R1, isa.R2, isa.R3, isa.R5}

func reg(i int) isa.Reg    { return work[i%len(work)] }
func slotAt(i int) int16   { return int16(-8 * (1 + i%(workBytes/8))) }
func loadLen() isa.Insn    { return asm("r7 = *(u32 *)(r6 + 0)")[0] }
func small(i int) int64    { return int64(1 + i%7) }
func one(in isa.Insn) body { return func(c *code, _ int) { c.add(in) } }

type body = func(c *code, i int)

// rowProbes prices every row that a straight run can hold.
func rowProbes() []probe {
	var out []probe
	for _, r := range isa.Rows() {
		op, row := r.Op, r
		p := probe{key: r.Name, n: many}
		switch r.Kind {
		case isa.KindALU:
			if k := r.Fn; k == isa.FnDiv || k == isa.FnMod || k == isa.FnSDiv || k == isa.FnSMod {
				p.n = few
			}
			p.body = func(c *code, i int) {
				in := isa.Insn{Op: op, Dst: reg(i)}
				if row.ReadsSrc {
					in.Src = isa.R7
				} else if row.Imm && row.Fn != isa.FnNeg {
					in.Imm = small(i)
				}
				if k := row.Fn; k == isa.FnToBE || k == isa.FnToLE || k == isa.FnBSwap {
					in.Imm = 0 // the width is the row's
				}
				c.add(in)
			}
		case isa.KindLoadImm:
			if r.Form != isa.FormConst {
				continue
			}
			p.body = func(c *code, i int) { c.add(isa.Insn{Op: op, Dst: reg(i), Imm: 1<<20 + int64(i)}) }
		case isa.KindLoad:
			p.body = func(c *code, i int) { c.add(isa.Insn{Op: op, Dst: reg(i), Src: isa.FP, Off: slotAt(i)}) }
		case isa.KindStore:
			p.body = func(c *code, i int) {
				in := isa.Insn{Op: op, Dst: isa.FP, Off: slotAt(i)}
				if row.Imm {
					in.Imm = small(i)
				} else {
					in.Src = isa.R7
				}
				c.add(in)
			}
		case isa.KindAtomic:
			p.n = few
			p.body = func(c *code, i int) {
				in := isa.Insn{Op: op, Dst: isa.FP, Src: reg(i), Off: slotAt(i)}
				if row.Fn == isa.FnLoadAcq {
					in.Dst, in.Src = reg(i), isa.FP
				}
				c.add(in)
			}
		case isa.KindCondJump:
			// A fresh value each time, else the verifier knows the outcome.
			in, load := neverTaken(&row)
			p.rest = []isa.Insn{load}
			p.body = func(c *code, _ int) { c.add(load); c.jump(in, toEnd) }
		case isa.KindJump:
			// Blocks in the order 0, 2, 1, 3: all run, none falls through. Between
			// jumps there is some code, as there is in programs: predictors do
			// not hold many branches in a line of the cache.
			fill := asm("r0 = r7", "r1 = r7", "r2 = r7", "r3 = r7", "r4 = r7", "r5 = r7", "r0 = r7", "r1 = r7")
			p.n, p.rest = many/12*3, fill
			p.body = func(c *code, i int) {
				c.add(fill...)
				k, block := len(c.insns), len(fill)+1
				c.jump(isa.Insn{Op: op}, k+1+[...]int{1, 1, -2}[i%3]*block)
			}
		case isa.KindLoadPacket:
			p.n = few
			in := isa.Insn{Op: op, Imm: 14}
			if !r.Imm {
				in.Src = isa.R8
			}
			p.body = one(in)
		default:
			continue
		}
		out = append(out, p)
	}
	return out
}

// neverTaken makes a branch of a row that falls through at run time, and the
// load that hides this from the verifier.
func neverTaken(row *isa.Row) (branch, load isa.Insn) {
	in := isa.Insn{Op: row.Op, Dst: isa.R7, Src: isa.R8}
	const large = 1 << 20
	switch row.Fn {
	case isa.FnJeq, isa.FnJset:
		in.Imm = large
	case isa.FnJne:
		in.Dst, in.Src = isa.R8, isa.R9
	case isa.FnJgt, isa.FnJge, isa.FnJsgt, isa.FnJsge:
		in.Dst, in.Src, in.Imm = isa.R8, isa.R7, large
	case isa.FnJlt, isa.FnJle, isa.FnJslt, isa.FnJsle:
		in.Imm = 1
	}
	if row.Imm {
		in.Src = 0
	} else {
		in.Imm = 0
	}
	load = loadLen()
	if in.Dst == isa.R8 {
		load = asm("r8 = *(u32 *)(r6 + 8)")[0]
	}
	return in, load
}

// otherProbes prices what is not a row: they need the rows' prices.
func otherProbes() []probe {
	ret := asm("r0 = 0", "exit")
	var busy []isa.Insn
	for range 8 {
		busy = append(busy, asm("r1 = 1", "r2 = 2", "r3 = 3", "r4 = 4", "r5 = 5")...)
	}
	constant := asm("r1 = 1")
	call := body(func(c *code, _ int) { c.jump(isa.Insn{Op: isa.CallFunc}, toSub) })
	callOuter := body(func(c *code, i int) { c.add(asm("r1 = r10")...); call(c, i) })
	jne := isa.Insn{Op: isa.CondJump(isa.FnJne, 64, true), Dst: isa.R7, Imm: 1}
	return []probe{
		{key: keyLong, n: many, body: func(c *code, i int) { c.add(isa.Insn{Op: isa.LoadImm, Dst: reg(i), Imm: 1<<40 + int64(i)}) },
			rest: []isa.Insn{{Op: isa.LoadImm}}},
		{key: keyTaken, n: many / 2, rest: []isa.Insn{loadLen(), jne}, body: func(c *code, i int) {
			c.add(loadLen())
			c.jump(jne, len(c.insns)+2)
			c.add(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: reg(i)})
		}},
		{key: isa.RowOf(isa.CallFunc).Name, n: few, body: call, sub: ret, rest: asm("r0 = 0")},
		// The same work without pushes and without a frame comes first. There is
		// enough of it to fill the time of a call and a return, which would hide
		// the pushes.
		{key: keyPlain, n: few, body: call, sub: slices.Concat(busy, asm("r1 = 0", "r2 = 0", "r3 = 0", "r4 = 0"), ret)},
		{key: keyPush, n: few, body: call, sub: slices.Concat(busy, asm("r6 = 0", "r7 = 0", "r8 = 0", "r9 = 0"), ret)},
		{key: keyOuter, n: few, body: callOuter, sub: append(asm("*(u64 *)(r1 - 8) = 0"), ret...)},
		{key: keyFrame, n: few, body: callOuter, sub: append(asm("*(u64 *)(r10 - 8) = 0"), ret...)},
		// Loads wait one after the other: none retires before its own stores have.
		{key: keyWait, n: few, rest: asm("*(u16 *)(r10 - 8) = r7", "*(u16 *)(r10 - 6) = r7", "r0 = *(u32 *)(r10 - 8)"), body: func(c *code, i int) {
			at := slotAt(i)
			c.add(isa.Insn{Op: isa.Store(16, false), Dst: isa.FP, Src: isa.R7, Off: at},
				isa.Insn{Op: isa.Store(16, false), Dst: isa.FP, Src: isa.R7, Off: at + 2},
				isa.Insn{Op: isa.Load(32, false), Dst: reg(i), Src: isa.FP, Off: at})
		}},
		{key: keyFetch, n: large, rest: constant, body: func(c *code, i int) {
			c.add(isa.Insn{Op: constant[0].Op, Dst: reg(i), Imm: small(i)})
		}},
	}
}

// toSub stands for the subprogram as a call's target.
const toSub = -3

// keyed are the map types whose elements have a key of four or eight bytes.
var keyed = []prog.MapType{prog.MapHash, prog.MapArray, prog.MapPerCPUHash, prog.MapPerCPUArray, prog.MapLRUHash, prog.MapLRUPerCPUHash, prog.MapLPMTrie}

// targets are the map types that redirect_map takes; CPU and socket maps stay
// empty, for their elements need a thread or a socket.
var targets = []prog.MapType{prog.MapDevMap, prog.MapDevMapHash, prog.MapCPUMap, prog.MapXSKMap}

// helperProbes prices the helpers that can run again and again without a
// lasting effect.
func helperProbes() []probe {
	var out []probe
	xdp := false
	add := func(name string, m prog.MapType, args ...string) {
		h, ok := isa.HelperByName(name)
		if !ok {
			panic("calibrate: no helper " + name)
		}
		p := probe{key: name, n: few, rest: asm(args...), xdp: xdp}
		p.rest = append(p.rest, isa.Insn{Op: isa.Call})
		if m != 0 {
			p.key += ":" + m.String()
			p.maps = []prog.MapType{m}
			p.rest = append(p.rest, isa.Insn{Op: isa.LoadImm, Imm: 1 << 40})
		}
		p.body = func(c *code, _ int) {
			for a, k := range h.Args {
				if k == isa.ArgMap {
					c.add(isa.Insn{Op: isa.ByName("lddw_map_fd"), Dst: isa.R1 + isa.Reg(a)})
				}
			}
			c.add(asm(args...)...)
			c.add(isa.Insn{Op: isa.Call, Imm: int64(h.ID)})
		}
		out = append(out, p)
	}
	for _, h := range []string{"ktime_get_ns", "ktime_get_boot_ns", "ktime_get_coarse_ns", "jiffies64", "get_prandom_u32", "get_smp_processor_id", "get_numa_node_id"} {
		add(h, 0)
	}
	key := []string{"r2 = r10", fmt.Sprintf("r2 += %d", keyAt)}
	for _, m := range keyed {
		add("map_lookup_elem", m, key...)
		add("map_update_elem", m, append([]string{"r3 = r10", "r3 += -64", "r4 = 0"}, key...)...)
		if m != prog.MapArray && m != prog.MapPerCPUArray {
			add("map_delete_elem", m, "r2 = r10", "r2 += -64") // one that is not there
		}
	}
	for _, m := range []prog.MapType{prog.MapQueue, prog.MapStack} {
		add("map_peek_elem", m, key...)
	}
	for _, h := range []string{"get_current_pid_tgid", "get_current_uid_gid", "get_current_task", "get_current_cgroup_id"} {
		add(h, 0)
	}
	add("get_current_comm", 0, "r1 = r10", "r1 += -64", "r2 = 16")
	// In a namespace that routes nothing, and to a buffer that nobody reads: the
	// least that these take.
	add("fib_lookup", 0, "*(u8 *)(r10 - 64) = 2", "*(u32 *)(r10 - 56) = 1", "r1 = r6", "r2 = r10", "r2 += -64", "r3 = 64", "r4 = 0")
	add("perf_event_output", prog.MapPerfEvent, "r1 = r6", "w3 = -1", "r4 = r10", "r4 += -64", "r5 = 16")
	add("tail_call", prog.MapProgArray, "r1 = r6", "r3 = 0") // to nowhere
	add("redirect", 0, "r1 = 1", "r2 = 0")
	add("get_hash_recalc", 0, "r1 = r6")
	add("csum_diff", 0, "r1 = 0", "r2 = 0", "r3 = r10", "r3 += -64", "r4 = 16", "r5 = 0")
	add("skb_load_bytes", 0, "r1 = r6", "r2 = 0", "r3 = r10", "r3 += -64", "r4 = 16")
	add("skb_store_bytes", 0, "r1 = r6", "r2 = 0", "r3 = r10", "r3 += -64", "r4 = 16", "r5 = 0")
	add("l3_csum_replace", 0, "r1 = r6", "r2 = 16", "r3 = 1", "r4 = 2", "r5 = 2")
	add("l4_csum_replace", 0, "r1 = r6", "r2 = 16", "r3 = 1", "r4 = 2", "r5 = 2")
	add("get_socket_cookie", 0, "r1 = r6") // of a packet without a socket
	add("skb_load_bytes_relative", 0, "r1 = r6", "r2 = 0", "r3 = r10", "r3 += -64", "r4 = 16", "r5 = 0")
	xdp = true
	for _, m := range targets {
		if m != prog.MapCPUMap { // user space alone may look there
			add("map_lookup_elem", m, key...)
		}
		add("redirect_map", m, "r2 = 0", "r3 = 2")
	}
	// The packet's start goes nowhere, and each call looks for its end.
	add("xdp_adjust_head", 0, "r1 = r6", "r2 = 0")
	add("xdp_adjust_tail", 0, "r1 = r6", "r2 = 0")
	add("xdp_load_bytes", 0, "r1 = r6", "r2 = 0", "r3 = r10", "r3 += -64", "r4 = 16")
	add("xdp_store_bytes", 0, "r1 = r6", "r2 = 0", "r3 = r10", "r3 += -64", "r4 = 16")
	return out
}
