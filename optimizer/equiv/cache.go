package equiv

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// verdictKey names a question: both bodies with what they refer to, the
// contract (type, arguments, entry or not), and the meaning of the
// instructions.
type verdictKey [sha256.Size]byte

// cacheSize bounds the verdicts that are kept; past it the cache starts anew.
const cacheSize = 20_000

// CacheStats counts questions to the verdict cache.
type CacheStats struct{ Hits, Calls int }

// CacheStats says how often Func had a verdict at hand.
func (v *Validator) CacheStats() CacheStats { return v.cacheStats }

// Func decides whether body q may replace body p of the same function. A
// question that was answered before is not worked on again.
func (v *Validator) Func(ctx context.Context, p, q *prog.Func) Result {
	return v.cached(ctx, p, q, v.opt.Places)
}

// Whole is Func for a body that is all right or not: it looks for no places.
func (v *Validator) Whole(ctx context.Context, p, q *prog.Func) Result {
	return v.cached(ctx, p, q, false)
}

func (v *Validator) cached(ctx context.Context, p, q *prog.Func, places bool) Result {
	v.cacheStats.Calls++
	if v.opt.NoCache {
		return v.prove(ctx, p, q, places)
	}
	k := keyOf(p, q)
	if r, ok := v.cache[k]; ok {
		v.cacheStats.Hits++
		if r.Verdict == Equal {
			v.heir(p, q)
		}
		return r
	}
	r := v.prove(ctx, p, q, places)
	if r.Verdict == Equal {
		v.heir(p, q)
	}
	if ctx.Err() != nil {
		return r // out of time is no verdict
	}
	if v.cache == nil || len(v.cache) >= cacheSize {
		v.cache = map[verdictKey]Result{}
	}
	v.cache[k] = r
	return r
}

// keyOf tells bodies, one after the other, from others.
func keyOf(fs ...*prog.Func) verdictKey {
	h := sha256.New()
	d := tableDigest()
	h.Write(d[:])
	names := map[*prog.Ref]int{}
	for _, f := range fs {
		fmt.Fprintf(h, "%s|%d|%d|%v|%v|%d|%d;", f.Name, f.Type, f.Attach, f.Entry, f.Global, f.NumArgs, len(f.Insns))
		for _, a := range f.Args {
			fmt.Fprintf(h, "%v;", a)
		}
		for k := range f.Insns {
			in := &f.Insns[k]
			// Origins pair the joins: another pairing may find another proof.
			ref := 0
			if in.Ref != nil {
				if names[in.Ref] == 0 {
					names[in.Ref] = len(names) + 1
					writeRef(h, in.Ref)
				}
				ref = names[in.Ref]
			}
			var b [8 * 7]byte
			for i, x := range []uint64{uint64(in.Op), uint64(in.Dst)<<8 | uint64(in.Src), uint64(in.Off), uint64(in.Imm), uint64(in.Target), uint64(ref), uint64(in.Origin)} {
				binary.LittleEndian.PutUint64(b[8*i:], x)
			}
			h.Write(b[:])
		}
	}
	return verdictKey(h.Sum(nil))
}

func writeRef(h hash.Hash, r *prog.Ref) {
	fmt.Fprintf(h, "%d|%q|%d|%d;", r.Kind, r.Name, r.Off, r.ID)
	for m := r.Map; m != nil; m = m.Inner {
		fmt.Fprintf(h, "%q|%d|%d|%d|%d|%d|%v;", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags, m.ReadOnly)
	}
}

// tableDigest changes when the meaning of any instruction or helper does.
var tableDigest = sync.OnceValue(func() [sha256.Size]byte {
	h := sha256.New()
	var walk func(e *isa.Expr)
	walk = func(e *isa.Expr) {
		if e == nil {
			h.Write([]byte{0xff})
			return
		}
		fmt.Fprintf(h, "%d,%d,%d(", e.Op, e.W, e.K)
		walk(e.A)
		walk(e.B)
		walk(e.C)
	}
	for _, r := range isa.Rows() {
		fmt.Fprintf(h, "%s|%d|%d|%d|%d|%v|%v|%v;", r.Name, r.Kind, r.Fn, r.Width, r.Bits, r.Imm, r.Signed, r.Fetch)
		walk(r.Result)
		walk(r.Store)
		walk(r.Cond)
	}
	for id := int32(0); id < 256; id++ {
		fmt.Fprintf(h, "%+v;", *isa.HelperOf(id))
	}
	return [sha256.Size]byte(h.Sum(nil))
})
